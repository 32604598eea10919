// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A flag for each 16×16 block of an inter frame.
///
/// A flag says whether there are any; then one flag a block in rows, whose probability adapts in three contexts: how many of the
/// left and top neighbours have theirs. They go on from frame to frame, and begin anew after an intra frame.
final class BlockFlags {
  let blocksX: Int
  let blocksY: Int
  /// Whether the flags count: otherwise no block has its own.
  var isUsed = false
  private let memory: AlignedBuffer<UInt8>
  /// [blocksY][blocksX], 0 or 1
  var base: UnsafeMutablePointer<UInt8> { memory.base }

  init(width: Int, height: Int) {
    blocksX = Int(sc_motion_blocks(Int32(width)))
    blocksY = Int(sc_motion_blocks(Int32(height)))
    memory = AlignedBuffer(count: blocksX * blocksY, zero: 0)
  }

  /// P(1) in 1/2^15 of each context; it moves by 1/2^5 of the way.
  private struct Probabilities {
    private var one: [Int32] = [4096, 16384, 28672]

    func probability(_ context: Int) -> UInt32 { UInt32(one[context]) }

    mutating func adapt(_ context: Int, _ flag: Bool) {
      let p = one[context]
      one[context] = flag ? p + (32768 - p) >> 5 : p - p >> 5
      one[context] = min(32736, max(32, one[context]))
    }
  }

  private var probabilities = Probabilities()

  /// After an intra frame.
  func reset() { probabilities = Probabilities() }

  /// About the bits of 0 and of 1 in each context, in 1/256, of the next frame.
  var costs: [(zero: UInt16, one: UInt16)] {
    (0..<3).map { context in
      let one = Int(probabilities.probability(context))
      func bits(_ p: Int) -> UInt16 { UInt16((256 * ContextRule.bits(frequency: p)).rounded()) }
      return (bits(32768 - one), bits(one))
    }
  }

  /// How many of a block's neighbours have the flag.
  func context(_ x: Int, _ y: Int) -> Int {
    (x > 0 ? Int(base[y * blocksX + x - 1]) : 0) + (y > 0 ? Int(base[(y - 1) * blocksX + x]) : 0)
  }

  /// False for a damaged payload.
  func decode(_ decoder: inout PayloadDecoder) -> Bool {
    let used = sc_rans_decode_flag(&decoder.state, 1, 1 << 14)
    guard used >= 0 else { return false }
    isUsed = used == 1
    if !isUsed { return true }
    for y in 0..<blocksY {
      for x in 0..<blocksX {
        let context = context(x, y)
        let flag = sc_rans_decode_flag(&decoder.state, 1, probabilities.probability(context))
        guard flag >= 0 else { return false }
        base[y * blocksX + x] = UInt8(flag)
        probabilities.adapt(context, flag == 1)
      }
    }
    return true
  }

  func encode(_ encoder: PayloadEncoder) {
    encoder.reserve(1 + blocksX * blocksY)
    sc_rans_encode_flag(&encoder.state, 1, 1 << 14, isUsed ? 1 : 0)
    guard isUsed else { return }
    for y in 0..<blocksY {
      for x in 0..<blocksX {
        let context = context(x, y)
        let flag = base[y * blocksX + x]
        sc_rans_encode_flag(&encoder.state, 1, probabilities.probability(context), Int32(flag))
        probabilities.adapt(context, flag == 1)
      }
    }
  }
}
