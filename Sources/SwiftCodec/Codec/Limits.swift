// SPDX-License-Identifier: BSD-3-Clause

/// What coding may take. All of it is counted from the model and the header before it is spent, in a time that is linear in
/// the file; what would take more is refused with the bound and what it would take.
///
/// nil is a bound by the size of the bitstream. A small file can stand for a large picture, as a flat one takes only a few
/// bytes: a bitstream of at most a megabyte gets about two seconds of a thread and half a gigabyte, a larger one more for
/// each byte beyond. The library's own models stay within it for every picture of 24 megapixels, and for larger ones of
/// more than a quarter of a bit a pixel.
public struct Limits: Sendable {
  /// Pixels of a picture.
  public var pixels: Int?
  /// Bytes beside the model, the bitstream and the samples; see `Decoder.workingMemory`.
  public var memory: Int64?
  /// Multiply-adds of the networks for a pixel.
  public var macPerPixel = Double(1 << 19)
  /// Multiply-adds in all: those of padded vectors count, and what is no multiplication counts as so many as take its time.
  public var work: Double?

  /// The defaults.
  public init() {}

  /// Bitstreams up to this size get the same.
  private static let smallSize = 1 << 20

  private static func beyond(_ size: Int) -> Double { Double(max(0, size - smallSize)) }

  /// The bound on pixels for a bitstream of so many bytes.
  public func pixels(size: Int) -> Int {
    pixels ?? Int(min(Double(1 << 26) + 256 * Self.beyond(size), Double(1 << 28)))
  }

  /// The bound on memory for a bitstream of so many bytes.
  public func memory(size: Int) -> Int64 { memory ?? Int64(min(Double(3 << 27) + 1024 * Self.beyond(size), 0x1p62)) }

  /// The bound on work for a bitstream of so many bytes.
  public func work(size: Int) -> Double { work ?? 0x1p38 + 0x1p20 * Self.beyond(size) }

  /// What encoders may take for a picture beside its samples, unless `memory` says it.
  func encoderMemory(pixels: Int) -> Int64 { memory ?? (1 << 29) + 512 * Int64(pixels) }
}

/// A bound that would be broken, and what would be needed.
enum BrokenLimit: Error {
  case memory(needed: Int64, limit: Int64)
  case macPerPixel(Double, limit: Double)
  case work(needed: Double, limit: Double)
}

extension Limits {
  /// Before anything is made ready.
  func check(_ cost: ModelCost, memory: Int64, work: Double) throws(BrokenLimit) {
    guard cost.macPerPixel <= macPerPixel else { throw .macPerPixel(cost.macPerPixel, limit: macPerPixel) }
    guard cost.preparedBytes <= Double(memory) else {
      throw .memory(needed: Int64(min(cost.preparedBytes, 0x1p62)), limit: memory)
    }
    guard cost.preparation <= work else { throw .work(needed: cost.preparation, limit: work) }
  }
}

extension Limits {
  /// Of a picture or a frame that an encoder is about to code: `decoding` is what the decoder's networks cost if a search is
  /// to run them, `kept` the elements of what a frame of a stream leaves behind.
  func checkEncoding(
    _ cost: ModelCost, searching decoding: ModelCost?, kept: Double = 0, channels: Int, _ layout: LatentLayout,
    pixels: Int
  ) throws(BrokenLimit) {
    let most = encoderMemory(pixels: pixels)
    try check(cost, memory: most, work: .infinity)
    // Latent, symbols, means, scales and contexts; with a search its best state, gradients, curvature and rates as well, and
    // the gradients and masks of every tensor behind the latent.
    let values = Double(channels) * Double(layout.width) * Double(layout.height)
    var needed = cost.preparedBytes + 16 * values + 4 * kept
    if let decoding {
      needed += 2 * cost.preparedBytes + 64 * values
      needed += 5 * decoding.elements(width: layout.paddedWidth, height: layout.paddedHeight)
    }
    guard needed <= Double(most) else { throw .memory(needed: Int64(min(needed, 0x1p62)), limit: most) }
  }
}

extension DecodeError {
  init(_ broken: BrokenLimit) {
    switch broken {
    case .memory(let needed, let limit): self = .memory(needed: needed, limit: limit)
    case .macPerPixel(let value, let limit): self = .macPerPixel(value, limit: limit)
    case .work(let needed, let limit): self = .work(needed: needed, limit: limit)
    }
  }
}

extension EncodeError {
  init(_ broken: BrokenLimit) {
    switch broken {
    case .memory(let needed, let limit): self = .memory(needed: needed, limit: limit)
    case .macPerPixel(let value, let limit): self = .macPerPixel(value, limit: limit)
    // Encoders are given no bound on work.
    case .work(let needed, let limit): self = .macPerPixel(needed, limit: limit)
    }
  }
}
