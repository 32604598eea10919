// SPDX-License-Identifier: BSD-3-Clause

extension Model {
  /// From the first rate point to the last.
  public var positions: ClosedRange<RatePosition> {
    RatePosition(ratePoint: 0)...RatePosition(ratePoint: ratePoints.count - 1)
  }

  /// The position nearest to a quality: 0…100 goes evenly over all positions. Other qualities give the ends.
  public func position(quality: Double) -> RatePosition {
    let last = Double(positions.upperBound.index)
    return RatePosition(index: Int(min(max(0, quality), 100) / 100 * last + 0.5))
  }

  /// The quality that stands for a position of this model; 100 if there is only one.
  public func quality(of position: RatePosition) -> Double {
    let last = positions.upperBound.index
    return last == 0 ? 100 : 100 * Double(position.index) / Double(last)
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
