// SPDX-License-Identifier: BSD-3-Clause

extension Model {
  /// Domains, from 0, are kinds of pictures with rate points of their own; positions lie between those of one domain. Each
  /// has the positions from its first rate point to its last one. Models of one domain are usual.
  public var domains: [ClosedRange<RatePosition>] {
    let firsts = [0] + weights.growths.map { $0.firstPoint }
    return zip(firsts, firsts.dropFirst() + [ratePoints.count]).map {
      RatePosition(ratePoint: $0)...RatePosition(ratePoint: $1 - 1)
    }
  }

  /// The positions of domain 0.
  public var positions: ClosedRange<RatePosition> { domains[0] }

  /// The domain that a position belongs to; nil for none.
  public func domain(of position: RatePosition) -> Int? { domains.firstIndex { $0.contains(position) } }

  /// The position of a domain that is nearest to a quality: 0…100 goes evenly over all of its positions. Other qualities give
  /// the ends.
  public func position(quality: Double, domain: Int = 0) -> RatePosition {
    let positions = domains[domain]
    let count = Double(positions.upperBound.index - positions.lowerBound.index)
    return RatePosition(index: positions.lowerBound.index + Int(min(max(0, quality), 100) / 100 * count + 0.5))
  }

  /// The quality that stands for a position of this model; 100 if its domain has no other.
  public func quality(of position: RatePosition) -> Double {
    let positions = domains[domain(of: position) ?? 0]
    let (first, last) = (positions.lowerBound.index, positions.upperBound.index)
    return last == first ? 100 : 100 * Double(position.index - first) / Double(last - first)
  }

  /// What a bitstream of a position names this model by: the oldest ancestor that has the position, whose files these are bit
  /// for bit (model.md §3.1), or else itself.
  public func bitstreamID(at position: RatePosition) -> UInt32 {
    weights.growths.first { position.ratePoint < $0.firstPoint }?.ancestor ?? shortID
  }

  /// The number of rate points, from 0, at which this model decodes bitstreams that name a model; nil for none.
  func ratePoints(ofModel id: UInt32) -> Int? {
    id == shortID ? ratePoints.count : weights.growths.last { $0.ancestor == id }?.firstPoint
  }

  /// Whether it decodes a bitstream that names a model and a position.
  public func decodes(model id: UInt32, at position: RatePosition) -> Bool {
    (ratePoints(ofModel: id) ?? 0) > position.ratePoint && domain(of: position) != nil
  }

  /// The trade-off λ at a position: on the geometric line between those of the rate points.
  public func lambda(at position: RatePosition) -> Double {
    var low = Double(ratePoints[position.ratePoint].lambda)
    if position.fraction == 0 { return low }
    var high = Double(ratePoints[position.ratePoint + 1].lambda)
    // Square roots are exactly rounded everywhere; powers are not.
    for bit in (0..<5).reversed() {
      let middle = (low * high).squareRoot()
      if position.fraction >> bit & 1 == 1 { low = middle } else { high = middle }
    }
    return low
  }

  /// The rate point whose entropy tables a position has: the nearer one, or the upper one if their widths differ.
  func tablePoint(_ position: RatePosition) -> Int {
    let upper = weights.widthPoint(position)
    let isLower = position.fraction < RatePosition.steps / 2
    return isLower && ratePoints[position.ratePoint].widths == ratePoints[upper].widths ? position.ratePoint : upper
  }

  /// Channels of the latent at a position.
  public func latentChannels(at position: RatePosition) -> Int {
    latentChannels(ratePoint: weights.widthPoint(position))
  }

  /// Multiply-adds per pixel to decode.
  public func decoderMACPerPixel(_ format: PixelFormat = .rgb, at position: RatePosition) -> Double {
    decoderMACPerPixel(format, ratePoint: weights.widthPoint(position))
  }

  /// Multiply-adds per pixel to encode.
  public func encoderMACPerPixel(_ format: PixelFormat = .rgb, at position: RatePosition) -> Double {
    encoderMACPerPixel(format, ratePoint: weights.widthPoint(position))
  }
}
