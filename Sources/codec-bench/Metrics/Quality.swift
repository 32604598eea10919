// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// How near a decoded picture is to its original. PSNR in dB, infinite for equal pictures.
struct Quality: Sendable {
  /// From the mean squared error of all samples.
  let psnrRGB: Double
  /// Of the luma of BT.709.
  let psnrY: Double
  /// (6 Y + U + V) / 8 with chroma at half resolution.
  let psnrYUV: Double
  /// Mean of the MS-SSIM of the channels.
  let msSSIM: Double

  /// Both pictures have the same size and channels.
  init(of decoded: Picture, against original: Picture) {
    precondition(decoded.width == original.width && decoded.height == original.height)
    precondition(decoded.channels == original.channels)
    psnrRGB = peakSignalToNoiseRatio(squaredError: decoded.squaredError(to: original), samples: original.samples.count)
    let (first, second) = (yuv420(decoded.rgb), yuv420(original.rgb))
    let planes = zip(first, second).map { 10 * log10(255 * 255 / $0.meanSquaredError(from: $1)) }
    psnrY = planes[0]
    psnrYUV = (6 * planes[0] + planes[1] + planes[2]) / 8
    msSSIM = multiScaleSSIM(decoded, original)
  }
}

/// One channel with samples of 0…255.
private struct Plane {
  let width: Int
  let height: Int
  var samples: [Float]

  func meanSquaredError(from other: Plane) -> Double {
    var sum = 0.0
    for i in samples.indices {
      let difference = Double(samples[i] - other.samples[i])
      sum += difference * difference
    }
    return sum / Double(samples.count)
  }

  /// Means of 2 × 2 samples. At odd sizes, either the last column and row are means of what there is, or, as
  /// pytorch-msssim has it, zeros are added in front of the first and count as samples.
  func halved(zeroPadded: Bool) -> Plane {
    let (outWidth, outHeight) = ((width + 1) / 2, (height + 1) / 2)
    let (left, top) = zeroPadded ? (width & 1, height & 1) : (0, 0)
    var out = [Float](repeating: 0, count: outWidth * outHeight)
    for y in 0..<outHeight {
      let rows = max(0, 2 * y - top)..<min(height, 2 * y - top + 2)
      for x in 0..<outWidth {
        let columns = max(0, 2 * x - left)..<min(width, 2 * x - left + 2)
        var sum: Float = 0
        for j in rows { for i in columns { sum += samples[j * width + i] } }
        out[y * outWidth + x] = sum / Float(zeroPadded ? 4 : rows.count * columns.count)
      }
    }
    return Plane(width: outWidth, height: outHeight, samples: out)
  }
}

/// Y, U, V of BT.709, full range and unrounded; U and V are means of 2 × 2.
private func yuv420(_ picture: Picture) -> [Plane] {
  let (red, green, blue): (Float, Float, Float) = (0.2126, 0.7152, 0.0722)
  let count = picture.width * picture.height
  var planes = [[Float]](repeating: [Float](repeating: 0, count: count), count: 3)
  for i in 0..<count {
    let (r, g, b) = (picture.samples[3 * i], picture.samples[3 * i + 1], picture.samples[3 * i + 2])
    let y = red * Float(r) + green * Float(g) + blue * Float(b)
    planes[0][i] = y
    planes[1][i] = (Float(b) - y) / (2 * (1 - blue))
    planes[2][i] = (Float(r) - y) / (2 * (1 - red))
  }
  return planes.enumerated().map { index, samples in
    let plane = Plane(width: picture.width, height: picture.height, samples: samples)
    return index == 0 ? plane : plane.halved(zeroPadded: false)
  }
}

// MARK: MS-SSIM

/// Wang, Simoncelli, Bovik 2003 with the conventions of pytorch-msssim: 11 × 11 Gaussian window of σ = 1.5 inside the
/// picture, K = (0.01, 0.03), halving by 2 × 2 means, negative terms as 0, mean over the channels.
/// A picture with a side of 160 or less has fewer scales, whose weights are raised to the sum of all five; a side
/// shorter than the window is not filtered.
func multiScaleSSIM(_ a: Picture, _ b: Picture) -> Double {
  let allWeights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
  let side = min(a.width, a.height)
  let scales = max(1, (1...5).last { side > 10 << ($0 - 1) } ?? 1)
  let share = allWeights[..<scales].reduce(0, +) / allWeights.reduce(0, +)
  let weights = allWeights[..<scales].map { $0 / share }
  var total = 0.0
  for channel in 0..<a.channels {
    var (first, second) = (plane(a, channel), plane(b, channel))
    var product = 1.0
    for (scale, weight) in weights.enumerated() {
      let (ssim, contrast) = structuralSimilarity(first, second)
      let isLast = scale == scales - 1
      product *= pow(max(0, isLast ? ssim : contrast), weight)
      if !isLast { (first, second) = (first.halved(zeroPadded: true), second.halved(zeroPadded: true)) }
    }
    total += product
  }
  return total / Double(a.channels)
}

private func plane(_ picture: Picture, _ channel: Int) -> Plane {
  let samples = stride(from: channel, to: picture.samples.count, by: picture.channels).map {
    Float(picture.samples[$0])
  }
  return Plane(width: picture.width, height: picture.height, samples: samples)
}

/// Means over the picture of SSIM and of its contrast-structure factor.
private func structuralSimilarity(_ a: Plane, _ b: Plane) -> (ssim: Double, contrast: Double) {
  let c1: Float = (0.01 * 255) * (0.01 * 255)
  let c2: Float = (0.03 * 255) * (0.03 * 255)
  func filtered(_ value: (Int) -> Float) -> [Float] {
    smoothed(Plane(width: a.width, height: a.height, samples: a.samples.indices.map(value)))
  }
  // With d = a − b, the two factors are 1 − var(d) / (var(a) + var(b) + c2) and 1 − mean(d)² / (mean(a)² + mean(b)² +
  // c1): nothing is lost where the pictures are alike.
  let means = smoothed(a)
  let differences = filtered { a.samples[$0] - b.samples[$0] }
  let squares = filtered { a.samples[$0] * a.samples[$0] + b.samples[$0] * b.samples[$0] }
  let squaredDifferences = filtered { i in
    let difference = a.samples[i] - b.samples[i]
    return difference * difference
  }
  var ssim = 0.0
  var contrast = 0.0
  for i in means.indices {
    let difference = differences[i]
    let (x, y) = (means[i], means[i] - difference)
    let energy = x * x + y * y
    let distortion = Double((squaredDifferences[i] - difference * difference) / (squares[i] - energy + c2))
    contrast += 1 - distortion
    ssim += (1 - distortion) * (1 - Double(difference * difference / (energy + c1)))
  }
  return (ssim / Double(means.count), contrast / Double(means.count))
}

private let window: [Float] = {
  let values = (-5...5).map { exp(-Float($0 * $0) / (2 * 1.5 * 1.5)) }
  let sum = values.reduce(0, +)
  return values.map { $0 / sum }
}()

/// The plane under the window, where the window lies inside of it.
private func smoothed(_ plane: Plane) -> [Float] {
  var (width, height) = (plane.width, plane.height)
  var result = plane.samples
  let extra = window.count - 1
  if width > extra {
    result = weightedSums(result, count: height, length: width - extra, advance: width, step: 1)
    width -= extra
  }
  if height > extra {
    result = weightedSums(result, count: height - extra, length: width, advance: width, step: width)
    height -= extra
  }
  return result
}

/// `count` rows of `length` sums of 11 samples that lie `step` apart; rows start `advance` samples apart.
private func weightedSums(_ samples: [Float], count: Int, length: Int, advance: Int, step: Int) -> [Float] {
  var result = [Float](repeating: 0, count: count * length)
  var out = result.mutableSpan
  let source = samples.span
  for row in 0..<count {
    let start = row * advance
    // All indices below are smaller than this.
    precondition(length > 0 && start + length + (window.count - 1) * step <= source.count)
    for (tap, weight) in window.enumerated() {
      let from = start + tap * step
      let to = row * length
      for i in 0..<length { out[unchecked: to + i] += weight * source[unchecked: from + i] }
    }
  }
  return result
}
