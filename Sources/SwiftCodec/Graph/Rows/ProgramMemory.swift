// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Owns the packed weights, biases and shifts that the structs of C point at, and packs them for one variant of the kernels.
final class ProgramMemory {
  let kernels: UnsafePointer<sc_kernels>
  private var shorts: [AlignedBuffer<Int16>] = []
  private var words: [AlignedBuffer<Int32>] = []
  private var scratch = AlignedBuffer<Int16>(uninitialised: 0)

  init(_ kernels: UnsafePointer<sc_kernels>) { self.kernels = kernels }

  /// Zeroed, aligned to 64 bytes.
  func keepShorts(_ count: Int) -> UnsafeMutablePointer<Int16> {
    let buffer = AlignedBuffer<Int16>(count: count, zero: 0)
    shorts.append(buffer)
    return buffer.base
  }

  /// Not initialised; until the next call.
  func scratch(_ count: Int) -> UnsafeMutablePointer<Int16> {
    if scratch.count < count { scratch = AlignedBuffer(uninitialised: max(count, 2 * scratch.count)) }
    return scratch.base
  }

  /// To be called when all is packed.
  func freeScratch() { scratch = AlignedBuffer(uninitialised: 0) }

  func keepWords(_ values: [Int32]) -> UnsafePointer<Int32> { keep(values, count: values.count, padding: 0) }

  /// Padded to a multiple of SC_LANES.
  func keepPadded(_ values: [Int32], padding: Int32) -> UnsafePointer<Int32> {
    keep(values, count: Self.padded(values.count), padding: padding)
  }

  private func keep(_ values: [Int32], count: Int, padding: Int32) -> UnsafePointer<Int32> {
    let buffer = AlignedBuffer<Int32>(count: count, zero: padding)
    for (i, value) in values.enumerated() { buffer.base[i] = value }
    words.append(buffer)
    return UnsafePointer(buffer.base)
  }

  /// A number of channels, rounded up to a multiple of SC_LANES.
  static func padded(_ channels: Int) -> Int { (channels + Int(SC_LANES) - 1) / Int(SC_LANES) * Int(SC_LANES) }

  /// The requantisation of a layer's accumulators to its output.
  func requant(bias: [Int32], shift: [Int32], output: ProgramTensor, _ activation: Activation) -> sc_requant {
    sc_requant(
      bias: keepPadded(bias, padding: 0), shift: keepPadded(shift, padding: 1), lo: output.lo, hi: output.hi,
      leaky: Int32(activation.leakyShift))
  }

  /// Packs a dense product's weights, [outputs][rows][run].
  func pack(_ weights: UnsafePointer<Int16>, rows: Int, run: Int, outputs: Int) -> UnsafePointer<Int16> {
    let size = kernels.pointee.conv_packed_size(Int32(rows), Int32(run), Int32(outputs))
    let packed = AlignedBuffer<Int16>(uninitialised: size / 2)
    shorts.append(packed)
    kernels.pointee.conv_pack(packed.base, weights, Int32(rows), Int32(run), Int32(outputs))
    return UnsafePointer(packed.base)
  }
}
