// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Rows between pictures and the networks that see them.
extension NetworkProgram {
  /// Runs an analysis network on a picture, whose last row and column are repeated as far as its padding goes: the latent
  /// of `channels` channels, rounded to its exponent.
  ///
  /// A grey picture is R = G = B to a network for RGB. `profile`, one element a layer, gets the nanoseconds that each
  /// takes; it asks for one thread.
  func analyse(
    _ picture: PictureView, _ layout: LatentLayout, channels: Int, reference: ReferenceInputs? = nil,
    _ execution: Execution, profile: UnsafeMutablePointer<UInt64>? = nil
  ) -> Latent {
    let latent = Latent(uninitialised: layout, channels: channels, execution.pool)
    run(
      width: layout.paddedWidth, height: layout.paddedHeight, execution, profile: profile,
      source: { input, y, row in
        let port = inputs[input]
        let width = layout.paddedWidth / tensors[input].divisor
        switch port.name {
        case .rgb where picture.format == .grey:
          let grey = picture.components[0]
          sc_samples_to_row(
            grey.base + min(y, picture.height - 1) * grey.row_stride, 1, picture.width, row, width)
        case .rgb, .luma: load(picture.first, of: picture, y, row, width, reference?.predicted)
        case .chroma: load(picture.chroma, of: picture, y, row, width, reference?.predicted)
        default: reference?.load(port, row: y, row, width: width)
        }
      },
      sink: { _, y, row in latent.write(row: y, row) })
    return latent
  }

  /// A frame that has a prediction goes on beyond its border as that does: there is no difference to code there.
  private func load(
    _ group: PictureView.Group, of picture: PictureView, _ y: Int, _ row: UnsafeMutablePointer<Int16>, _ width: Int,
    _ predicted: PictureView?
  ) {
    guard let predicted else { return picture.load(group, row: y, row, paddedWidth: width) }
    if y >= group.height || width > group.width { predicted.load(group, row: y, row, paddedWidth: width) }
    if y < group.height { picture.load(group, row: y, row, paddedWidth: group.width) }
  }

  /// Runs a synthesis network on a decoded latent, and writes the samples of the picture proper, without its padding.
  /// States go to `states`, by index.
  ///
  /// `picture` is the part of the whole one that starts at `origin`, of even coordinates in 4:2:0; `band` are the rows, in
  /// the program's units, that are computed: nil for all.
  func synthesise(
    _ latent: Latent, into picture: PictureView, origin: (x: Int, y: Int) = (0, 0), band: Range<Int>? = nil,
    reference: ReferenceInputs? = nil, states: [TensorPlane] = [], _ execution: Execution,
    profile: UnsafeMutablePointer<UInt64>? = nil
  ) {
    let layout = latent.layout
    run(
      width: layout.paddedWidth, height: layout.paddedHeight, band: band, execution, profile: profile,
      source: { input, y, row in loadSynthesisInput(input, y, row, latent, reference) },
      sink: { output, y, row in
        let port = outputs[output]
        if !store(port, y, row, into: picture, origin: origin), port.index < states.count {
          states[port.index].write(row: y, row)
        }
      })
  }

  /// Writes row `y` of an output to a picture that starts at `origin`; false if it is no part of pictures.
  func store(
    _ port: Port, _ y: Int, _ row: UnsafePointer<Int16>, into picture: PictureView, origin: (x: Int, y: Int) = (0, 0)
  ) -> Bool {
    let q = tensors[port.tensor].q
    switch port.name {
    case .rgb where picture.format == .grey:
      guard 0..<picture.height ~= y - origin.y else { return true }
      let grey = picture.components[0]
      sc_row_to_samples(
        row + 3 * origin.x, Int32(q), grey.base + (y - origin.y) * grey.row_stride, 1, picture.width)
    case .rgb: picture.store(picture.first, row: y - origin.y, row + 3 * origin.x, q: q)
    case .luma: picture.store(picture.first, row: y - origin.y, row + origin.x, q: q)
    // Two components at half the width.
    case .chroma: picture.store(picture.chroma, row: y - origin.y / 2, row + origin.x, q: q)
    default: return false
    }
    return true
  }

  /// Row `y` of a synthesis network's input.
  func loadSynthesisInput(
    _ input: Int, _ y: Int, _ row: UnsafeMutablePointer<Int16>, _ latent: Latent, _ reference: ReferenceInputs?
  ) {
    if inputs[input].name == .decodedLatent {
      latent.read(row: y, row)
    } else {
      reference?.load(inputs[input], row: y, row, width: latent.layout.paddedWidth / tensors[input].divisor)
    }
  }
}

extension NetworkProgram {
  /// `analyse` of a picture of one's own.
  package func analyse(
    _ picture: Picture, _ layout: LatentLayout, channels: Int, _ execution: Execution,
    profile: UnsafeMutablePointer<UInt64>? = nil
  ) -> Latent {
    picture.withView { analyse($0, layout, channels: channels, execution, profile: profile) }
  }

  /// `synthesise` into a picture of one's own, of the latent's size.
  package func synthesise(
    _ latent: Latent, into picture: inout Picture, _ execution: Execution,
    profile: UnsafeMutablePointer<UInt64>? = nil
  ) {
    picture.withMutableView { synthesise(latent, into: $0, execution, profile: profile) }
  }
}
