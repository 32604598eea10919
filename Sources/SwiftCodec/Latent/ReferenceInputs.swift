// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// A tensor in memory: rows of [width][channels], without gaps.
final class TensorPlane {
  let width: Int
  let height: Int
  let channels: Int
  private let buffer: AlignedBuffer<Int16>

  /// All zeros.
  init(width: Int, height: Int, channels: Int, _ pool: MemoryPool? = nil) {
    self.width = width
    self.height = height
    self.channels = channels
    buffer = AlignedBuffer(count: width * height * channels, zero: 0, pool)
  }

  func row(_ y: Int) -> UnsafeMutablePointer<Int16> { buffer.base + y * width * channels }

  func write(row y: Int, _ samples: UnsafePointer<Int16>) { row(y).update(from: samples, count: width * channels) }

  func read(row y: Int, _ out: UnsafeMutablePointer<Int16>) { out.update(from: row(y), count: width * channels) }
}

/// What networks of an inter frame read of the frame before it (docs/format/model.md).
///
/// All of it is complete before a network that reads it runs.
struct ReferenceInputs {
  /// The motion-compensated frame; nil for a model that does not read it.
  var predicted: PictureView?
  /// The decoded latent of the frame before.
  var latent: Latent?
  /// What synthesis of the frame before made, by index.
  var states: [TensorPlane] = []
  /// What the context network makes of all this, by index.
  var contexts: [TensorPlane] = []

  /// Row `y` of an input as its network reads it; `width` is the padded width at the input's resolution.
  func load(_ port: Port, row y: Int, _ out: UnsafeMutablePointer<Int16>, width: Int) {
    switch port.name {
    case .predictedLuma: predicted?.load(predicted!.first, row: y, out, paddedWidth: width)
    case .predictedChroma: predicted?.load(predicted!.chroma, row: y, out, paddedWidth: width)
    case .referenceLatent: latent?.read(row: y, out)
    case .state: states[port.index].read(row: y, out)
    case .context: contexts[port.index].read(row: y, out)
    default: preconditionFailure("not an input of the reference: the parser has checked it")
    }
  }
}
