// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

extension Decoder {
  /// Decodes a part of the picture: the same samples as those of the whole one there. Only the segments that the region
  /// touches, with the few rows around it that synthesis sees, are decoded, and only its rows are synthesised, in their
  /// whole width; all checksums are verified. `format` as in `decode(_:as:)`.
  public func decode(
    _ bytes: [UInt8], region: PictureRegion, as format: PixelFormat? = nil
  ) throws(DecodeError) -> Picture {
    let parts = try BitstreamParts(parsing: bytes)
    let format = format ?? parts.header.format
    guard region.isValid(width: parts.header.width, height: parts.header.height, format: format) else {
      throw .region(region, width: parts.header.width, height: parts.header.height)
    }
    try require(Int64(format.sampleCount(width: region.width, height: region.height)))
    var picture = Picture(
      unchecked: region.width, region.height, format,
      [UInt8](repeating: 0, count: format.sampleCount(width: region.width, height: region.height)))
    try picture.withMutableView { view throws(DecodeError) in
      try decode(bytes, parts, region: region, into: view, alpha: nil)
    }
    return picture
  }

  /// The same into memory of the caller, of the region's size. Untouched on error, unless it is `cancelled`.
  func decode(
    _ bytes: [UInt8], _ parts: BitstreamParts, region: PictureRegion, into picture: PictureView, alpha: sc_component?
  ) throws(DecodeError) {
    precondition(picture.width == region.width && picture.height == region.height)
    guard region.isValid(width: parts.header.width, height: parts.header.height, format: picture.format) else {
      throw .region(region, width: parts.header.width, height: parts.header.height)
    }
    // Layers over the picture are coded as a whole.
    if parts.residual != nil || parts.alpha != nil && alpha != nil {
      let whole = try decodeAll(bytes, as: picture.format)
      whole.picture.cropped(to: region).withView { $0.copy(to: picture) }
      if let alpha { (whole.alpha?.cropped(to: region)).fill(alpha, picture.width, picture.height) }
      return
    }
    let seen = PictureFilter.region(seenBy: region, width: parts.header.width, height: parts.header.height)
    let decoded = try decodeLatent(bytes, parts, as: picture.format, region: seen)
    try synthesise(decoded, parts.header, into: picture, region: region)
    if let alpha { Picture?.none.fill(alpha, picture.width, picture.height) }
  }

  /// Rows of a region in the program's units, or all.
  static func band(_ program: NetworkProgram, _ layout: LatentLayout, _ region: PictureRegion?) -> Range<Int> {
    guard let region else { return 0..<(layout.paddedHeight / program.unit) }
    return (region.y / program.unit)..<((region.y + region.height - 1) / program.unit + 1)
  }

  /// The segments that a valid region is made of, or all.
  func segments(
    of region: PictureRegion?, _ header: BitstreamHeader, as format: PixelFormat, _ layout: LatentLayout
  ) -> Range<Int> {
    guard let region else { return 0..<layout.segmentCount }
    let program = prepared.program(.synthesis, format, at: header.position, cpu: execution.cpu)
    let rows = NetworkRunner.rows(
      ofInput: 0, program, height: layout.paddedHeight, band: Self.band(program, layout, region))
    return (rows.lowerBound / layout.segmentRows)..<((max(rows.upperBound, 1) - 1) / layout.segmentRows + 1)
  }

  /// Bytes that decoding of a bitstream with this header takes beside the model, the bitstream and the samples, with the
  /// present number of threads: packed weights, the latent, and the most that entropy decoding or synthesis needs. Within a few percent;
  /// stacks of threads and the allocator's own bytes are not in it.
  public func workingMemory(
    _ header: BitstreamHeader, as format: PixelFormat? = nil, region: PictureRegion? = nil
  ) throws(DecodeError) -> Int64 {
    try check(header, as: format ?? header.format, region, size: .max).memory
  }

  func workingMemory(
    _ layout: LatentLayout, _ codec: SegmentCodec, _ segments: Range<Int>, _ header: BitstreamHeader,
    as format: PixelFormat, _ region: PictureRegion?
  ) -> Int64 {
    var rows: Int64 = 0
    for i in segments { rows += Int64(layout.rows(segment: i).count) }
    let latent = 2 * Int64(model.latentChannels(at: header.position)) * Int64(layout.width) * rows
    let together = Int64(min(segments.count, max(1, execution.threads)))
    let entropy = together * codec.decodingBytes(layout, segment: segments.lowerBound)
    let program = prepared.program(.synthesis, format, at: header.position, cpu: execution.cpu)
    let bands = Int64(max(1, min(execution.threads, Self.band(program, layout, region).count)))
    let synthesis =
      bands
      * NetworkRunner.byteCount(
        program, width: layout.paddedWidth, height: layout.paddedHeight, stripeRows: execution.stripeRows)
    // A region is synthesised with what its filters see.
    let seen = region.map { PictureFilter.region(seenBy: $0, width: header.width, height: header.height) }
    let larger = seen.map { Int64(format.sampleCount(width: $0.width, height: $0.height)) } ?? 0
    let filter = PictureFilter.bytes(width: seen?.width ?? header.width, threads: execution.threads)
    return latent + larger + max(entropy, synthesis, filter)
  }
}

extension Picture? {
  /// Writes a grey picture's samples, or 255 without one.
  func fill(_ component: sc_component, _ width: Int, _ height: Int) {
    for y in 0..<height {
      let row = component.base + y * component.row_stride
      for x in 0..<width { row[x * component.step] = self?.samples[y * width + x] ?? 255 }
    }
  }
}
