// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

extension NetworkProgram {
  /// Runs an analysis network on a picture.
  func analyse(
    _ picture: PictureView, _ layout: LatentLayout, channels: Int, _ execution: Execution,
    profile: UnsafeMutablePointer<UInt64>? = nil
  ) -> Latent {
    let latent = Latent(layout: layout, channels: channels)
    let isGreyAsRGB = picture.format == .grey && tensors[0].channels == 3
    run(
      width: layout.paddedWidth, height: layout.paddedHeight, execution, profile: profile,
      source: { _, y, row in
        if isGreyAsRGB {
          let grey = picture.components[0]
          sc_samples_to_row(
            grey.base + min(y, picture.height - 1) * grey.row_stride, 1, picture.width, row, layout.paddedWidth)
        } else {
          picture.load(picture.first, row: y, row, paddedWidth: layout.paddedWidth)
        }
      },
      sink: { y, row in latent.write(row: y, row) })
    return latent
  }

  /// Runs a synthesis network and writes the samples of the picture proper.
  func synthesise(
    _ latent: Latent, into picture: PictureView, _ execution: Execution,
    profile: UnsafeMutablePointer<UInt64>? = nil
  ) {
    let q = tensors[output].q
    let layout = latent.layout
    let isGreyAsRGB = picture.format == .grey && tensors[output].channels == 3
    run(
      width: layout.paddedWidth, height: layout.paddedHeight, execution, profile: profile,
      source: { _, y, row in latent.read(row: y, row) },
      sink: { y, row in
        if isGreyAsRGB {
          guard y < picture.height else { return }
          let grey = picture.components[0]
          sc_row_to_samples(row, Int32(q), grey.base + y * grey.row_stride, 1, picture.width)
        } else {
          picture.store(picture.first, row: y, row, q: q)
        }
      })
  }
}
