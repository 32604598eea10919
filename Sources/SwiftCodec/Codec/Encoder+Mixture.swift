// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

// Pictures of which parts are drawn and parts are photographs, as screens and documents are: networks code the photographs, a
// masked residual layer the text and the lines (as in the mixed raster content of ITU-T T.44, whose layers are a picture each).

/// Finds the parts of a picture that a layer codes better than the networks, which are given a smooth picture there.
struct Mixer {
  private let picture: Picture
  private let execution: Execution
  /// Of each block alone in the layer, in 1/1024 bits.
  private let costs: [UInt32]

  /// How often blocks are chosen.
  private static let rounds = 2

  /// nil for pictures that have no such parts, or more planes than one.
  init?(_ view: PictureView, _ encoder: Encoder, _ settings: EncoderSettings) throws(EncodeError) {
    guard view.format != .yuv420, view.hasDrawings else { return nil }
    var layered = settings
    layered.holdsQuality = true
    try encoder.require(encoder.layerMemory(view, layered) + Self.byteCount(view))
    let picture = Picture(copying: view)
    guard let costs = ResidualCodec.patternCosts(picture, execution: settings.execution) else { return nil }
    (self.picture, execution, self.costs) = (picture, settings.execution, costs)
  }

  /// Memory beside that of networks and layers: copies of the picture, and a plane to fill with a smaller one.
  static func byteCount(_ picture: PictureView) -> Int64 {
    3 * Int64(picture.sampleCount) + 14 * Int64(picture.width) * Int64(picture.height)
  }

  fileprivate func cost(_ trial: Encoder.Trial, _ encoder: Encoder, _ settings: EncoderSettings) -> Double {
    Double(8 * trial.size) + encoder.errorWeight(picture.samples.count, of: picture.width * picture.height, settings)
      * Double(trial.squaredError)
  }

  /// The blocks for the layer, if there are some and not all.
  fileprivate func mask(
    _ plain: Encoder.Trial, _ encoder: Encoder, _ settings: EncoderSettings
  ) throws(EncodeError) -> BlockMask? {
    guard var placeBits = plain.coded?.placeBits, var decoded = plain.reconstruction else { return nil }
    let places = picture.withView { encoder.layout($0).width }
    let weight = Float(
      encoder.errorWeight(picture.samples.count, of: picture.width * picture.height, settings))
    var mask = BlockMask(width: picture.width, height: picture.height)
    // What the networks are left with costs them more than it did among the rest.
    for round in 1...Self.rounds {
      let before = mask.count
      add(
        to: &mask, decoded, placeBits: placeBits, places: places, divisor: encoder.model.latentDivisor, weight: weight)
      guard 1..<mask.isCoded.count ~= mask.count else { return nil }
      if mask.count == before || round == Self.rounds { break }
      let rest = try others(mask, encoder, settings.withoutSearch)
      placeBits = rest.placeBits
      if let picture = rest.reconstruction { decoded = picture }
    }
    return mask
  }

  /// What the networks are given: the picture, smooth where the layer codes it.
  private func others(
    _ mask: BlockMask, _ encoder: Encoder, _ settings: EncoderSettings
  ) throws(EncodeError) -> CodedLatent {
    try SmoothPicture(picture, without: mask).picture.withView { view throws(EncodeError) in
      try encoder.codeLatent(view, settings)
    }
  }

  fileprivate func code(
    _ mask: BlockMask, _ encoder: Encoder, _ settings: EncoderSettings
  ) throws(EncodeError) -> Encoder.Trial? {
    var measured = settings
    measured.measuresDistortion = true
    let base = try others(mask, encoder, measured)
    guard let decoded = base.reconstruction,
      let layer = ResidualCodec.encode(picture, base: decoded, coded: mask, execution: execution)
    else { return nil }
    let result = encoder.decoded(layer, decoded, like: picture)
    return Encoder.Trial(
      coded: base, layer: layer, size: base.size + layer.count, squaredError: result.squaredError(to: picture),
      reconstruction: result)
  }

  /// Blocks that cost less in the layer than in the networks' picture.
  private func add(
    to mask: inout BlockMask, _ other: Picture, placeBits: [Float], places: Int, divisor: Int, weight: Float
  ) {
    // Blocks may be smaller or larger than places.
    let share = Float(BlockMask.side * BlockMask.side) / Float(divisor * divisor)
    var gains = [Float](repeating: 0, count: mask.isCoded.count)
    let rowSize = picture.samples.count / picture.height
    let components = rowSize / picture.width
    for by in 0..<mask.down {
      for bx in 0..<mask.across {
        let (x, y) = (bx * BlockMask.side, by * BlockMask.side)
        let row = components * x..<components * min(picture.width, x + BlockMask.side)
        var error: Int32 = 0
        for line in y..<min(picture.height, y + BlockMask.side) {
          for i in row {
            let d = Int32(picture.samples[line * rowSize + i]) - Int32(other.samples[line * rowSize + i])
            error += d * d
          }
        }
        let place = y / divisor * places + x / divisor
        let bits = place < placeBits.count ? share * placeBits[place] : 0
        let block = by * mask.across + bx
        gains[block] = bits + weight * Float(error) - Float(costs[block]) / 1024
      }
    }
    for i in gains.indices where gains[i] > 0 { mask.isCoded[i] = 1 }
  }
}

extension EncoderSettings {
  /// For trials: what places and the picture take.
  fileprivate var withoutSearch: EncoderSettings {
    var settings = self
    settings.rdoq = .off
    settings.measuresDistortion = true
    settings.countsPlaces = true
    return settings
  }
}

extension Encoder {
  /// The picture as a mixture or by the networks alone, whatever costs less without a search; with one if the settings ask for it.
  func cheaper(_ view: PictureView, _ settings: EncoderSettings, _ mixer: Mixer) throws(EncodeError) -> Trial {
    let quick = settings.withoutSearch
    let plain = try byNetworks(view, quick)
    if let mask = try mixer.mask(plain, self, quick), let mixture = try mixer.code(mask, self, quick),
      mixer.cost(mixture, self, quick) < mixer.cost(plain, self, quick)
    {
      if settings.rdoq == .off { return mixture }
      if let searched = try mixer.code(mask, self, settings) { return searched }
    }
    return settings.rdoq == .off ? plain : try byNetworks(view, settings)
  }

  /// The picture by the networks alone, decoded again.
  func byNetworks(_ view: PictureView, _ settings: EncoderSettings) throws(EncodeError) -> Trial {
    var measured = settings
    measured.measuresDistortion = true
    let coded = try codeLatent(view, measured)
    let error = coded.reconstruction.map { $0.withView { $0.squaredError(to: view) } } ?? .max
    return Trial(
      coded: coded, layer: nil, size: coded.size, squaredError: error, reconstruction: coded.reconstruction)
  }
}

/// A picture whose blocks of a mask are filled smoothly from around them, so that they cost the networks little.
private struct SmoothPicture {
  private(set) var picture: Picture

  init(_ picture: Picture, without mask: BlockMask) {
    self.picture = picture
    let components = picture.format == .rgb ? 3 : 1
    let count = picture.width * picture.height
    for c in 0..<components {
      var plane = Plane(width: picture.width, height: picture.height)
      for y in 0..<picture.height {
        for x in 0..<picture.width {
          let i = y * picture.width + x
          plane.isKnown[i] = mask.isCoded[y / BlockMask.side * mask.across + x / BlockMask.side] == 0
          plane.values[i] = Int32(picture.samples[components * i + c]) << 4
        }
      }
      plane.fill()
      for i in 0..<count where !plane.isKnown[i] {
        self.picture.samples[components * i + c] = UInt8((plane.values[i] + 8) >> 4)
      }
    }
  }

  /// Samples in sixteenths, some of them known.
  private struct Plane {
    let width: Int
    let height: Int
    var values: [Int32]
    var isKnown: [Bool]

    init(width: Int, height: Int) {
      (self.width, self.height) = (width, height)
      values = [Int32](repeating: 0, count: width * height)
      isKnown = [Bool](repeating: false, count: width * height)
    }

    /// Gives the unknown samples the values of a plane of half the size, filled in the same way, and smooths them.
    mutating func fill() {
      guard width > 1 || height > 1, isKnown.contains(false) else { return }
      var half = Plane(width: (width + 1) / 2, height: (height + 1) / 2)
      for y in 0..<half.height {
        for x in 0..<half.width {
          var (sum, count) = (Int32(0), Int32(0))
          for (v, u) in [(2 * y, 2 * x), (2 * y, 2 * x + 1), (2 * y + 1, 2 * x), (2 * y + 1, 2 * x + 1)]
          where v < height && u < width && isKnown[v * width + u] {
            sum += values[v * width + u]
            count += 1
          }
          half.isKnown[y * half.width + x] = count > 0
          half.values[y * half.width + x] = count > 0 ? sum / count : 0
        }
      }
      half.fill()
      for y in 0..<height {
        for x in 0..<width where !isKnown[y * width + x] {
          values[y * width + x] = half.values[y / 2 * half.width + x / 2]
        }
      }
      for _ in 0..<2 { smooth() }
    }

    private mutating func smooth() {
      let before = values
      for y in 0..<height {
        for x in 0..<width where !isKnown[y * width + x] {
          let (up, down) = (max(0, y - 1) * width, min(height - 1, y + 1) * width)
          let (left, right) = (max(0, x - 1), min(width - 1, x + 1))
          values[y * width + x] =
            (before[up + x] + before[down + x] + before[y * width + left] + before[y * width + right]) / 4
        }
      }
    }
  }
}
