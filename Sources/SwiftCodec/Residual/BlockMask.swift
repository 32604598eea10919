// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The blocks of a picture that a masked residual layer codes; the samples of the others are those of the base.
struct BlockMask {
  /// Rows and columns of a block, in pixels.
  static let side = Int(SC_RESIDUAL_BLOCK)

  /// Blocks in a row of them.
  let across: Int
  /// Rows of blocks.
  let down: Int
  /// 1 for blocks that are coded, otherwise 0; row by row.
  var isCoded: [UInt8]

  /// Of no blocks.
  init(width: Int, height: Int) {
    across = (width + Self.side - 1) / Self.side
    down = (height + Self.side - 1) / Self.side
    isCoded = [UInt8](repeating: 0, count: across * down)
  }

  /// How many are coded.
  var count: Int { isCoded.reduce(0) { $0 + Int($1) } }
}
