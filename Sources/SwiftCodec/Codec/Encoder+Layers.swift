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
  fileprivate func layer(
    _ picture: Picture, base: Picture?, _ maximumError: Int, _ settings: EncoderSettings
  ) -> [UInt8] {
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
      let size = layer.count + (coded?.size ?? 0)
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

  /// One way to code a picture: by the networks, by a layer alone, or by both.
  struct Trial {
    let coded: CodedLatent?
    let layer: [UInt8]?
    let size: Int
    let squaredError: UInt64
    /// What a decoder gives, if it is known.
    var reconstruction: Picture?
  }

  /// Layers alone of a picture, by their largest error, as they are asked for.
  private struct LayerTrials {
    let picture: Picture
    private var known: [Trial?]

    init(_ picture: Picture) {
      self.picture = picture
      known = ResidualCodec.maximumErrors.map { _ in nil }
    }

    /// Of that largest error.
    mutating func of(_ maximumError: Int, _ encoder: Encoder, _ settings: EncoderSettings) -> Trial {
      if let trial = known[maximumError] { return trial }
      let layer = encoder.layer(picture, base: nil, maximumError, settings)
      let error =
        maximumError == 0 ? 0 : encoder.decoded(layer, nil, like: picture).squaredError(to: picture)
      let trial = Trial(coded: nil, layer: layer, size: layer.count, squaredError: error)
      known[maximumError] = trial
      return trial
    }

    /// In dB.
    func psnr(_ trial: Trial) -> Double {
      peakSignalToNoiseRatio(squaredError: trial.squaredError, samples: picture.samples.count)
    }

    /// One of at least a PSNR, in dB: of the largest error that reaches it, about.
    mutating func reaching(_ psnr: Double, _ encoder: Encoder, _ settings: EncoderSettings) -> Trial {
      let most = ResidualCodec.maximumErrors.upperBound
      var best = of(most, encoder, settings)
      let gain = max(0, self.psnr(best) - Self.uniformPSNR(most))
      if self.psnr(best) >= psnr { return smaller(best, encoder, settings) }
      var error = most - 1
      while error > 0, !(Self.uniformPSNR(error) + gain >= psnr) { error -= 1 }
      best = of(error, encoder, settings)
      while error > 0, !(self.psnr(best) >= psnr) {
        error -= 1
        best = of(error, encoder, settings)
      }
      while error + 1 < most {
        error += 1
        let next = of(error, encoder, settings)
        guard self.psnr(next) >= psnr, next.size <= best.size else { break }
        best = next
      }
      return smaller(best, encoder, settings)
    }

    /// The lossless one if it is not larger: errors spoil what repeats.
    private mutating func smaller(_ trial: Trial, _ encoder: Encoder, _ settings: EncoderSettings) -> Trial {
      let exact = of(0, encoder, settings)
      return exact.size <= trial.size ? exact : trial
    }

    /// Where errors are uniform, their mean square is δ (δ + 1) / 3.
    private static func uniformPSNR(_ d: Int) -> Double {
      peakSignalToNoiseRatio(squaredError: UInt64(d * (d + 1)) * 1000, samples: 3000)
    }
  }

  /// Encodes a picture unlike photographs so that it has what its quality promises, and never less than at a lower one.
  ///
  /// Networks may do worse there at a higher rate, and a layer alone better in fewer bytes. So the scale is climbed, a rate
  /// point at a time up to the position, and the best so far kept: what comes of a quality is where every higher one goes on.
  func climb(_ view: PictureView, _ settings: EncoderSettings) throws(EncodeError) -> Encoded {
    guard let domain = model.domain(of: settings.position) else {
      throw .position(settings.position, count: model.ratePoints.count)
    }
    var layers = LayerTrials(Picture(copying: view))
    let mixer = try Mixer(view, self, settings)
    var here = settings
    var best: Trial?
    let last = (settings.position.index + RatePosition.steps - 1) / RatePosition.steps
    for ratePoint in model.domains[domain].lowerBound.ratePoint...last where best?.squaredError != 0 {
      here.position = RatePosition(ratePoint: ratePoint)
      let trial = if let mixer { try cheaper(view, here, mixer) } else { try byNetworks(view, here) }
      let size = trial.size
      var found = best ?? trial
      if trial.squaredError < found.squaredError { found = trial }
      for maximumError in [0, 4, ResidualCodec.maximumErrors.upperBound] {
        let layer = layers.of(maximumError, self, settings)
        guard layer.size <= size else { continue }
        if layer.squaredError < found.squaredError { found = layer }
        break
      }
      let promised = Model.minimumPSNR(quality: model.quality(of: here.position))
      if !(layers.psnr(found) >= promised) { found = layers.reaching(promised, self, settings) }
      best = found
    }
    guard let best else { preconditionFailure("rate point 0 was tried") }
    return encoded(view, settings, best)
  }

  /// Encodes by a layer alone with at least a PSNR, in dB.
  func encode(
    _ view: PictureView, _ settings: EncoderSettings, reaching psnr: Double
  ) throws(EncodeError) -> Encoded {
    var bounded = settings
    bounded.maximumError = 0
    try require(layerMemory(view, bounded))
    var layers = LayerTrials(Picture(copying: view))
    return encoded(view, settings, layers.reaching(psnr, self, settings))
  }

  func encoded(_ view: PictureView, _ settings: EncoderSettings, _ best: Trial) -> Encoded {
    var reconstruction = best.reconstruction
    if settings.measuresDistortion, reconstruction == nil, let layer = best.layer {
      reconstruction = decoded(layer, nil, like: Picture(copying: view))
    }
    return encoded(
      view, settings, best.coded, layer: best.layer, reconstruction: reconstruction, squaredError: best.squaredError)
  }

  /// What a decoder makes of a layer that was just written.
  func decoded(_ layer: [UInt8], _ base: Picture?, like picture: Picture) -> Picture {
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
      rdoq: coded?.rdoq, maximumError: layer.flatMap { ResidualCodec.maximumError(firstByte: $0[0]) },
      hasLatent: coded != nil)
  }
}

extension Model {
  /// The least PSNR, in dB, that an encoder should reach at a quality of 0…100: from 26 at 80 to 38 at 100; below 80 there
  /// is none. Photographs have more; of other pictures residual layers bring it (`EncoderSettings.holdsQuality`).
  public static func minimumPSNR(quality: Double) -> Double { quality < 80 ? 0 : 26 + 0.6 * (min(quality, 100) - 80) }
}
