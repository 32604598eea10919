// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Rows between pictures and the networks that see them.
extension NetworkProgram {
  /// Runs a synthesis network on a decoded latent, and writes the samples of the picture proper, without its padding.
  ///
  /// `out` has `height` rows, `rowStride` ≥ `width` · `channels` bytes apart. `profile`, one element a layer, gets the
  /// nanoseconds that each takes; it asks for one thread.
  package func synthesise(
    _ latent: Latent, width: Int, height: Int, channels: Int, _ execution: Execution,
    into out: UnsafeMutablePointer<UInt8>, rowStride: Int, profile: UnsafeMutablePointer<UInt64>? = nil
  ) {
    let q = Int32(tensors[output].q)
    let layout = latent.layout
    run(
      width: layout.paddedWidth, height: layout.paddedHeight, execution, profile: profile,
      source: { _, y, row in latent.read(row: y, row) },
      sink: { y, row in
        if y < height { sc_row_to_samples(row, q, out + y * rowStride, Int32(channels), width) }
      })
  }

  /// Runs an analysis network on a picture, whose last row and column are repeated as far as its padding goes: the latent
  /// of `channels` channels, rounded to its exponent.
  package func analyse(
    _ picture: Picture, _ layout: LatentLayout, channels: Int, _ execution: Execution,
    profile: UnsafeMutablePointer<UInt64>? = nil
  ) -> Latent {
    let latent = Latent(layout: layout, channels: channels)
    picture.samples.withUnsafeBufferPointer { samples in
      let base = samples.baseAddress!
      run(
        width: layout.paddedWidth, height: layout.paddedHeight, execution, profile: profile,
        source: { _, y, row in
          let line = base + min(y, picture.height - 1) * picture.width * picture.channels
          sc_samples_to_row(line, Int32(picture.channels), picture.width, row, layout.paddedWidth)
        },
        sink: { y, row in latent.write(row: y, row) })
    }
    return latent
  }
}
