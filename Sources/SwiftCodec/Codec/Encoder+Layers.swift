// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

// Residual layers: of the picture, for a bounded error or a PSNR that the networks do not reach, and of its transparency.

extension Encoder {
  func checkLayers(_ picture: PictureView, _ settings: EncoderSettings) throws(EncodeError) {
    for error in [settings.maximumError ?? 0, settings.alphaError] where !(ResidualCodec.maximumErrors ~= error) {
      throw .maximumError(error)
    }
    if let alpha = settings.alpha {
      guard alpha.format == .grey, alpha.width == picture.width, alpha.height == picture.height else {
        throw .alpha(width: alpha.width, height: alpha.height, alpha.format)
      }
    }
  }

  /// The layer of the transparency, if there is any.
  func alphaLayer(_ settings: EncoderSettings) -> [UInt8]? {
    settings.alphaLayer ?? settings.alpha.map { layer($0, base: nil, settings.alphaError, settings) }
  }

  /// A layer that turns a base, or nothing, into the picture.
  private func layer(_ picture: Picture, base: Picture?, _ maximumError: Int, _ settings: EncoderSettings) -> [UInt8] {
    var residual = ResidualCodec.Settings()
    residual.maximumError = maximumError
    residual.effort = min(max(0, settings.residualEffort), 2)
    return ResidualCodec.encode(picture, base: base, settings: residual, execution: settings.execution)
  }

  /// Encodes with no sample off by more than `maximumError`.
  func encode(
    _ view: PictureView, _ settings: EncoderSettings, within maximumError: Int
  ) throws(EncodeError) -> Encoded {
    let picture = Picture(copying: view)
    var base = settings
    base.measuresDistortion = true
    var best: (layer: [UInt8], coded: CodedLatent?, size: Int)?
    func attempt(_ coded: CodedLatent?) {
      let layer = layer(picture, base: coded?.reconstruction, maximumError, settings)
      let size = layer.count + (coded?.payloads.reduce(0) { $0 + $1.count } ?? 0)
      if best.map({ size < $0.size }) ?? true { best = (layer, coded, size) }
    }
    switch settings.base {
    case .none: attempt(nil)
    case .position: attempt(try codeLatent(view, base))
    case .smallest:
      attempt(nil)
      // A base hardly ever pays: on photographs the coarsest costs 1 to 2 %, finer ones more. What takes less than a byte
      // for four samples is no photograph.
      if settings.residualEffort > 1, model.codes(view.format), !model.isInter, let size = best?.size,
        4 * size > picture.samples.count
      {
        base.rdoq = .off
        base.position = model.positions.lowerBound
        attempt(try codeLatent(view, base))
      }
    }
    guard let best else { preconditionFailure("one of the bases was tried") }
    var reconstruction: Picture?
    if settings.measuresDistortion {
      reconstruction = maximumError == 0 ? picture : decoded(best.layer, best.coded?.reconstruction, like: picture)
    }
    let error = reconstruction.map { $0.squaredError(to: picture) }
    return encoded(
      view, settings, best.coded, layer: best.layer, reconstruction: reconstruction, squaredError: error)
  }

  /// In dB: the networks give less of pictures that are unlike photographs.
  static let unusualPSNR = 30.0

  /// A layer alone of at least a PSNR, in dB, that takes fewer bytes than the networks; nil if there is none.
  func betterLayer(
    _ view: PictureView, _ settings: EncoderSettings, than coded: CodedLatent, _ psnr: Double
  ) -> Encoded? {
    let picture = Picture(copying: view)
    let size = coded.payloads.reduce(0) { $0 + $1.count }
    for maximumError in [0, 4, ResidualCodec.maximumErrors.upperBound] {
      let layer = layer(picture, base: nil, maximumError, settings)
      guard layer.count <= size else { continue }
      let reconstruction = decoded(layer, nil, like: picture)
      let error = reconstruction.squaredError(to: picture)
      guard peakSignalToNoiseRatio(squaredError: error, samples: picture.samples.count) >= psnr else { return nil }
      return encoded(view, settings, nil, layer: layer, reconstruction: reconstruction, squaredError: error)
    }
    return nil
  }

  /// Encodes with at least a PSNR, in dB, that the networks do not reach: by a layer of the largest error that reaches it,
  /// on what they give or alone.
  func encode(
    _ view: PictureView, _ settings: EncoderSettings, reaching psnr: Double, on coded: CodedLatent
  ) throws(EncodeError) -> Encoded {
    let picture = Picture(copying: view)
    func reached(_ layer: [UInt8], _ base: Picture?) -> (picture: Picture, isEnough: Bool) {
      let decoded = decoded(layer, base, like: picture)
      let error = decoded.squaredError(to: picture)
      return (decoded, peakSignalToNoiseRatio(squaredError: error, samples: picture.samples.count) >= psnr)
    }
    // Errors are nearly uniform: their mean square is δ (δ + 1) / 3.
    var maximumError = ResidualCodec.maximumErrors.upperBound
    func expected(_ d: Int) -> Double {
      peakSignalToNoiseRatio(squaredError: UInt64(d * (d + 1)) * 1000, samples: 3000)
    }
    while maximumError > 0, !(expected(maximumError) >= psnr) { maximumError -= 1 }

    let alone = layer(picture, base: nil, maximumError, settings)
    let added = layer(picture, base: coded.reconstruction, maximumError, settings)
    let isAlone = alone.count <= added.count + coded.payloads.reduce(0) { $0 + $1.count }
    let base = isAlone ? nil : coded
    var best = isAlone ? alone : added
    var result = reached(best, base?.reconstruction)
    if result.isEnough {
      while maximumError < ResidualCodec.maximumErrors.upperBound {
        let next = layer(picture, base: base?.reconstruction, maximumError + 1, settings)
        let trial = reached(next, base?.reconstruction)
        guard trial.isEnough, next.count <= best.count else { break }
        (best, result, maximumError) = (next, trial, maximumError + 1)
      }
    }
    while !result.isEnough, maximumError > 0 {
      maximumError -= 1
      best = layer(picture, base: base?.reconstruction, maximumError, settings)
      result = reached(best, base?.reconstruction)
    }
    return encoded(
      view, settings, base, layer: best, reconstruction: result.picture,
      squaredError: result.picture.squaredError(to: picture))
  }

  /// What a decoder makes of a layer that was just written.
  private func decoded(_ layer: [UInt8], _ base: Picture?, like picture: Picture) -> Picture {
    do throws(ResidualError) {
      return try ResidualCodec.decode(
        layer, base: base, width: picture.width, height: picture.height, format: picture.format)
    } catch { preconditionFailure("a layer that was just written decodes") }
  }

  /// Writes the bitstream of the parts that there are.
  func encoded(
    _ picture: PictureView, _ settings: EncoderSettings, _ coded: CodedLatent?, layer: [UInt8]?,
    reconstruction: Picture?, squaredError: UInt64?
  ) -> Encoded {
    let alpha = alphaLayer(settings)
    let isSmall = coded?.payloads.count == 1 && layer == nil && alpha == nil && settings.metadata.isEmpty
    let header = BitstreamHeader(
      modelID: coded.map { model.bitstreamID(at: $0.position) } ?? 0,
      position: coded?.position ?? RatePosition(index: 0),
      entropy: coded?.entropy ?? .static, format: picture.format, width: picture.width, height: picture.height,
      segments: isSmall ? nil : coded?.segments ?? .init(rows: 0, count: 0))
    var writer = BitstreamWriter(header)
    var bytes: [UInt8]
    if let coded, isSmall {
      bytes = writer.finish(segment: coded.payloads[0])
    } else {
      for item in settings.metadata { writer.box(item.kind.tag, item.bytes) }
      for payload in coded?.payloads ?? [] { writer.box(.segment, payload) }
      if let layer { writer.box(.residual, layer) }
      if let alpha { writer.box(.alpha, alpha) }
      bytes = writer.finish()
    }
    return Encoded(
      bytes: bytes, position: coded?.position ?? settings.position,
      idealBits: (coded?.idealBits ?? 0) + Double(8 * ((layer?.count ?? 0) + (alpha?.count ?? 0))),
      reconstruction: settings.measuresDistortion ? reconstruction : nil,
      squaredError: settings.measuresDistortion ? squaredError : nil,
      psnr: settings.measuresDistortion
        ? squaredError.map { peakSignalToNoiseRatio(squaredError: $0, samples: picture.sampleCount) } : nil,
      rdoq: coded?.rdoq, maximumError: layer.map { Int($0[0] & 15) }, hasLatent: coded != nil)
  }
}

extension PictureView {
  /// Whether half of the pixels of the first plane equal their left neighbour: as where people or programs draw, and
  /// hardly ever where light falls.
  var isDrawn: Bool {
    var equal = 0
    let first = components[self.first.components]
    for y in 0..<height {
      for x in 1..<max(1, width) {
        var isEqual = true
        for c in first {
          let row = c.base + y * c.row_stride
          if row[x * c.step] != row[(x - 1) * c.step] { isEqual = false }
        }
        if isEqual { equal += 1 }
      }
    }
    return 2 * equal > width * height
  }
}

extension Model {
  /// The least PSNR, in dB, that an encoder should reach at a quality of 0…100: from 26 at 80 to 38 at 100; below 80 there
  /// is none. Photographs have more; of other pictures residual layers bring it (`EncoderSettings.minimumPSNR`).
  public static func minimumPSNR(quality: Double) -> Double { quality < 80 ? 0 : 26 + 0.6 * (min(quality, 100) - 80) }
}
