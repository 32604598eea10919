// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The 16×16 blocks of an inter frame that are the prediction itself, whatever the synthesis network gives there. Where nothing
/// changes, that keeps a scene from losing a little in every frame.
final class SkipMask {
  let flags: BlockFlags
  var isUsed: Bool { flags.isUsed }
  private var blocksX: Int { flags.blocksX }
  private var blocksY: Int { flags.blocksY }
  /// Of the encoder alone, made when it first needs them.
  private lazy var gains = AlignedBuffer<Int64>(count: blocksX * blocksY, zero: 0)

  init(width: Int, height: Int) { flags = BlockFlags(width: width, height: height) }

  /// Completes a frame that the networks have decoded: skipped blocks become those of the prediction, and the samples go on over
  /// the margins.
  func complete(_ frame: MotionFrame, from predicted: MotionFrame, isUsed: Bool, _ execution: Execution) {
    let (from, to) = (predicted.view, frame.view)
    let parts = parts(of: blocksY, execution)
    parallel(threads: execution.threads, count: parts) { i in
      for row in (i * blocksY / parts)..<((i + 1) * blocksY / parts) {
        if isUsed { copy(row: row, from, to) }
        frame.pad(row: row)
      }
    }
    frame.padEnds()
  }

  /// Copies the skipped blocks of a row, those next to each other together.
  private func copy(row: Int, _ from: PictureView, _ to: PictureView) {
    let flags = flags.base + row * blocksX
    var x = 0
    while x < blocksX {
      let first = x
      while x < blocksX, flags[x] == 1 { x += 1 }
      if x > first {
        for c in 0..<3 {
          let (group, size) = c == 0 ? (to.first, 16) : (to.chroma, 8)
          let (a, b) = (from.components[c], to.components[c])
          let left = size * first
          let count = min(size * x, group.width) - left
          if count <= 0 { continue }
          for y in (size * row)..<max(size * row, min(size * (row + 1), group.height)) {
            (b.base + y * b.row_stride + left).update(from: a.base + y * a.row_stride + left, count: count)
          }
        }
      }
      x += 1
    }
  }

  /// The encoder's choice: blocks of which the prediction is no worse than what the networks give. `bias` is the squared
  /// error that a block may lose by being skipped like its neighbours.
  func choose(
    _ frame: PictureView, _ predicted: MotionFrame, _ decoded: MotionFrame, bias: Int, _ execution: Execution
  ) {
    let (gains, bias, blocksX) = (gains, Int64(bias), blocksX)
    frame.components.withUnsafeBufferPointer { components in
      nonisolated(unsafe) let components = components.baseAddress!
      parallel(threads: execution.threads, count: blocksY) { row in
        var (predicted, decoded) = (predicted.frame, decoded.frame)
        sc_motion_skip_gain(components, &predicted, &decoded, Int32(row), gains.base + row * blocksX)
      }
    }
    // A flag like the neighbours' costs little, another one some bits.
    var (skipped, saved): (Int, Int64) = (0, 0)
    for y in 0..<blocksY {
      for x in 0..<blocksX {
        let i = y * blocksX + x
        let flag = gains.base[i] + bias * Int64(flags.context(x, y) - 1) >= 0
        flags.base[i] = flag ? 1 : 0
        if flag {
          skipped += 1
          saved += gains.base[i]
        }
      }
    }
    flags.isUsed = skipped > 0 && saved > bias * Int64(blocksX * blocksY) / 8
  }
}
