// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The 16×16 blocks of an inter frame that are the prediction itself, whatever the synthesis network gives there. Where nothing
/// changes, that keeps a scene from losing a little in every frame.
///
/// A flag says whether there are any; then one flag a block in rows, whose probability adapts in three contexts: how many of the
/// left and top neighbours are skipped.
final class SkipMask {
  let blocksX: Int
  let blocksY: Int
  private(set) var isUsed = false
  private let flags: AlignedBuffer<UInt8>

  init(width: Int, height: Int) {
    blocksX = Int(sc_motion_blocks(Int32(width)))
    blocksY = Int(sc_motion_blocks(Int32(height)))
    flags = AlignedBuffer(count: blocksX * blocksY, zero: 0)
  }

  /// P(skipped) in 1/2^15 of each context; it moves by 1/2^5 of the way.
  private struct Probabilities {
    private var one: [Int32] = [4096, 16384, 28672]

    func probability(_ context: Int) -> UInt32 { UInt32(one[context]) }

    mutating func adapt(_ context: Int, _ flag: Bool) {
      let p = one[context]
      one[context] = flag ? p + (32768 - p) >> 5 : p - p >> 5
      one[context] = min(32736, max(32, one[context]))
    }
  }

  private func context(_ x: Int, _ y: Int) -> Int {
    (x > 0 ? Int(flags.base[y * blocksX + x - 1]) : 0) + (y > 0 ? Int(flags.base[(y - 1) * blocksX + x]) : 0)
  }

  /// False for a damaged payload.
  func decode(_ decoder: inout PayloadDecoder) -> Bool {
    let used = sc_rans_decode_flag(&decoder.state, 1, 1 << 14)
    guard used >= 0 else { return false }
    isUsed = used == 1
    if !isUsed { return true }
    var probabilities = Probabilities()
    for y in 0..<blocksY {
      for x in 0..<blocksX {
        let context = context(x, y)
        let flag = sc_rans_decode_flag(&decoder.state, 1, probabilities.probability(context))
        guard flag >= 0 else { return false }
        flags.base[y * blocksX + x] = UInt8(flag)
        probabilities.adapt(context, flag == 1)
      }
    }
    return true
  }

  func encode(_ encoder: PayloadEncoder) {
    encoder.reserve(1 + blocksX * blocksY)
    sc_rans_encode_flag(&encoder.state, 1, 1 << 14, isUsed ? 1 : 0)
    guard isUsed else { return }
    var probabilities = Probabilities()
    for y in 0..<blocksY {
      for x in 0..<blocksX {
        let context = context(x, y)
        let flag = flags.base[y * blocksX + x]
        sc_rans_encode_flag(&encoder.state, 1, probabilities.probability(context), Int32(flag))
        probabilities.adapt(context, flag == 1)
      }
    }
  }

  /// Copies the blocks of the prediction.
  func apply(_ predicted: MotionFrame, to frame: MotionFrame) {
    guard isUsed else { return }
    for c in 0..<3 {
      forEachBlock(c, predicted.view, frame.view) { i, from, to in
        guard flags.base[i] == 1 else { return }
        for y in 0..<from.height {
          (to.base + y * to.stride).update(from: from.base + y * from.stride, count: from.width)
        }
      }
    }
  }

  private struct Block {
    let base: UnsafeMutablePointer<UInt8>
    let stride: Int
    let width: Int
    let height: Int
  }

  /// The encoder's choice: blocks of which the prediction is no worse than what the networks give. `bias` is the squared
  /// error that a block may lose by being skipped like its neighbours.
  func choose(_ frame: PictureView, _ predicted: MotionFrame, _ decoded: MotionFrame, bias: Int) {
    var gain = [Int](repeating: 0, count: blocksX * blocksY)
    func add(_ other: PictureView, _ sign: Int) {
      for c in 0..<3 {
        let step = frame.components[c].step
        let weight = c == 0 ? 3 : 2
        forEachBlock(c, frame, other) { i, a, b in
          var sum = 0
          for y in 0..<a.height {
            let (p, q) = (a.base + y * a.stride, b.base + y * b.stride)
            for x in 0..<a.width {
              let d = Int(p[x * step]) - Int(q[x])
              sum += d * d
            }
          }
          gain[i] += sign * weight * sum
        }
      }
    }
    add(predicted.view, -1)
    add(decoded.view, 1)
    // A flag like the neighbours' costs little, another one some bits.
    var (skipped, saved) = (0, 0)
    for y in 0..<blocksY {
      for x in 0..<blocksX {
        let i = y * blocksX + x
        let flag = gain[i] + bias * (context(x, y) - 1) >= 0
        flags.base[i] = flag ? 1 : 0
        if flag {
          skipped += 1
          saved += gain[i]
        }
      }
    }
    isUsed = skipped > 0 && saved > bias * blocksX * blocksY / 8
  }

  /// Every block of a plane of two frames of the same size.
  private func forEachBlock(_ c: Int, _ a: PictureView, _ b: PictureView, _ body: (Int, Block, Block) -> Void) {
    let (group, size) = c == 0 ? (a.first, 16) : (a.chroma, 8)
    for y in 0..<blocksY where size * y < group.height {
      for x in 0..<blocksX where size * x < group.width {
        func block(_ view: PictureView) -> Block {
          let component = view.components[c]
          return Block(
            base: component.base + size * y * component.row_stride + size * x * component.step,
            stride: component.row_stride, width: min(size, group.width - size * x),
            height: min(size, group.height - size * y))
        }
        body(y * blocksX + x, block(a), block(b))
      }
    }
  }
}
