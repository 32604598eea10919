// SPDX-License-Identifier: BSD-3-Clause

// The choice of a domain: photographs and screens look alike to no rule that is both short and right, but they cost what they
// cost.

extension Encoder {
  /// The picture as the networks code it without a search at the quality of the settings' position, in the domain where
  /// bits + λ · squared error are least, with the settings' λ in all of them; of equal ones in the first.
  func cheapestDomain(_ picture: PictureView, _ settings: EncoderSettings) throws(EncodeError) -> CodedLatent {
    var trial = settings
    trial.rdoq = .off
    trial.measuresDistortion = true
    // Progress is that of the encoding to come.
    if let monitor = settings.monitor { trial.monitor = { _ in monitor(0) } }
    guard model.domain(of: settings.position) != nil else {
      throw .position(settings.position, count: model.ratePoints.count)
    }
    let weight = errorWeight(picture.sampleCount, of: picture.width * picture.height, settings)
    let quality = model.quality(of: settings.position)
    var best: (coded: CodedLatent, cost: Double)?
    for domain in model.domains.indices {
      trial.position = model.position(quality: quality, domain: domain)
      let coded = try codeLatent(picture, trial)
      let error = coded.reconstruction.map { $0.withView { $0.squaredError(to: picture) } } ?? 0
      let cost = coded.idealBits + weight * Double(error)
      if best.map({ cost < $0.cost }) ?? true { best = (coded, cost) }
    }
    guard let best else { preconditionFailure("a model has a domain") }
    return best.coded
  }

  /// What a squared error of one of so many samples of a picture's pixels counts, in bits, at the settings' position and λ.
  func errorWeight(_ samples: Int, of pixels: Int, _ settings: EncoderSettings) -> Double {
    (settings.lambda ?? model.lambda(at: settings.position)) * Double(pixels) / Double(samples)
  }

  /// The settings' position in a domain that does not depend on their quality: the cheapest at the middle one.
  func positionInOneDomain(_ picture: PictureView, _ settings: EncoderSettings) throws(EncodeError) -> RatePosition {
    guard model.domain(of: settings.position) != nil else {
      throw .position(settings.position, count: model.ratePoints.count)
    }
    var middle = settings
    middle.position = model.position(quality: 50)
    let domain = model.domain(of: try cheapestDomain(picture, middle).position)
    return model.position(quality: model.quality(of: settings.position), domain: domain ?? 0)
  }
}
