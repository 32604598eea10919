// SPDX-License-Identifier: BSD-3-Clause

/// What a file is to come to.
public enum EncoderTarget: Sendable, Equatable {
  /// The largest file of at most so many bytes.
  case bytes(Int)
  /// The largest file of at most so many bits per pixel.
  case bitsPerPixel(Double)
  /// The smallest file with at least this PSNR over all samples, in dB: where the networks do not reach it, with a
  /// residual layer.
  case psnr(Double)
}

extension Encoder {
  /// Encodes at the position that reaches the target, found by bisection: one trial more than log2 of the
  /// number of positions, and another if the distortion is measured. Of `settings.position` the domain alone matters; where the
  /// settings let the encoder choose it, it is chosen once, at the middle quality.
  ///
  /// `maximumError` and `holdsQuality` of the settings do not matter. Size and PSNR are taken to grow with the position. Where
  /// they do not, from one position to the next, the result still reaches the target, but another position might come
  /// closer. It is the same on every machine.
  public func encode(
    _ picture: Picture, _ settings: EncoderSettings, target: EncoderTarget
  ) throws(EncodeError) -> Encoded {
    try picture.withView { view throws(EncodeError) in try encode(view, settings, target: target) }
  }

  /// The same of a picture in memory of the caller.
  func encode(
    _ picture: PictureView, _ settings: EncoderSettings, target: EncoderTarget
  ) throws(EncodeError) -> Encoded {
    var settings = settings
    settings.holdsQuality = false
    settings.mixes = true
    let wantsDistortion = settings.measuresDistortion
    settings.maximumError = nil
    try checkLayers(picture, settings)
    settings.alphaLayer = alphaLayer(settings)
    if settings.choosesDomain, model.domains.count > 1 {
      settings.position = try positionInOneDomain(picture, settings)
    }
    settings.choosesDomain = false
    guard let domain = model.domain(of: settings.position) else {
      throw .position(settings.position, count: model.ratePoints.count)
    }
    let positions = model.domains[domain]
    var low = positions.lowerBound.index
    var high = positions.upperBound.index
    let monitor = settings.monitor
    // One trial more than the bisection has, and perhaps one to measure.
    let trials = Double(Int.bitWidth - (high - low + 1).leadingZeroBitCount + 2)
    var done = 0.0
    func attempt(_ index: Int) throws(EncodeError) -> Encoded {
      settings.position = RatePosition(index: index)
      let before = min(done, trials - 1)
      if let monitor { settings.monitor = { monitor((before + $0) / trials) } }
      done += 1
      return try encode(picture, settings)
    }
    let pixels = Double(picture.width * picture.height)

    if case .psnr(let psnr) = target {
      settings.measuresDistortion = true
      var best = try attempt(high)
      // Not less than, so that no number is refused, too.
      guard let reached = best.psnr, reached >= psnr else {
        return try encode(picture, settings, reaching: psnr)
      }
      // `high` reaches the target, everything below `low` does not.
      while low < high {
        let middle = (low + high) / 2
        let trial = try attempt(middle)
        if (trial.psnr ?? 0) >= psnr { (best, high) = (trial, middle) } else { low = middle + 1 }
      }
      guard picture.isUnusual else { return best }
      let layer = try encode(picture, settings, reaching: psnr)
      return layer.bytes.count < best.bytes.count ? layer : best
    }

    settings.measuresDistortion = false
    func fits(_ encoded: Encoded) -> Bool {
      switch target {
      case .bytes(let bytes): encoded.bytes.count <= bytes
      case .bitsPerPixel(let bits): Double(8 * encoded.bytes.count) <= bits * pixels
      case .psnr: false
      }
    }
    var best = try attempt(low)
    guard fits(best) else {
      let size = Double(best.bytes.count)
      if case .bitsPerPixel = target { throw .target(target, nearest: 8 * size / pixels) }
      throw .target(target, nearest: size)
    }
    // `low` fits, everything above `high` does not.
    while low < high {
      let middle = (low + high + 1) / 2
      let trial = try attempt(middle)
      if fits(trial) { (best, low) = (trial, middle) } else { high = middle - 1 }
    }
    guard wantsDistortion else { return best }
    settings.measuresDistortion = true
    return try attempt(best.position.index)
  }
}

/// Encodes one picture to a target; to encode several, keep an `Encoder`.
public func encode(
  _ picture: Picture, model: Model, settings: EncoderSettings, target: EncoderTarget
) throws(EncodeError) -> Encoded {
  try Encoder(model: model).encode(picture, settings, target: target)
}
