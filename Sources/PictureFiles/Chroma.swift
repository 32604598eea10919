// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec

/// Chroma upsampling and conversion to RGB.
enum Chroma {
  /// Doubles the columns of a plane: each new sample is 3/4 the nearer and 1/4 the next ("triangle filter"), rounded
  /// down and up in turn; at the ends the nearer one alone. `width` is that of the result, or one more.
  static func doubleColumns(_ plane: Plane, width: Int) -> Plane {
    var result = Plane(width: width, height: plane.height)
    let source = plane.samples.span
    var target = result.samples.mutableSpan
    let last = plane.width - 1
    for y in 0..<plane.height {
      let (row, out) = (y * plane.width, y * width)
      for x in 0..<plane.width {
        let near = 3 * Int(source[row + x])
        let left = x == 0 ? Int(source[row]) : Int(source[row + x - 1])
        let right = x == last ? Int(source[row + last]) : Int(source[row + x + 1])
        target[out + 2 * x] = UInt8((near + left + 1) >> 2)
        if 2 * x + 1 < width { target[out + 2 * x + 1] = UInt8((near + right + 2) >> 2) }
      }
    }
    return result
  }

  /// The same for rows.
  static func doubleRows(_ plane: Plane, height: Int) -> Plane {
    var result = Plane(width: plane.width, height: height)
    let source = plane.samples.span
    var target = result.samples.mutableSpan
    for y in 0..<height {
      let near = y >> 1
      let next = min(max(y & 1 == 0 ? near - 1 : near + 1, 0), plane.height - 1)
      let bias = y & 1 == 0 ? 1 : 2
      for x in 0..<plane.width {
        let sum = 3 * Int(source[near * plane.width + x]) + Int(source[next * plane.width + x])
        target[y * plane.width + x] = UInt8((sum + bias) >> 2)
      }
    }
    return result
  }

  /// Both at once: weights 9, 3, 3, 1 of 16, rounded once.
  static func doubleBoth(_ plane: Plane, width: Int, height: Int) -> Plane {
    var result = Plane(width: width, height: height)
    let source = plane.samples.span
    var target = result.samples.mutableSpan
    var sums = [Int](repeating: 0, count: plane.width)
    let last = plane.width - 1
    for y in 0..<height {
      let near = y >> 1
      let next = min(max(y & 1 == 0 ? near - 1 : near + 1, 0), plane.height - 1)
      for x in 0..<plane.width {
        sums[x] = 3 * Int(source[near * plane.width + x]) + Int(source[next * plane.width + x])
      }
      for x in 0..<plane.width {
        let left = sums[max(x - 1, 0)]
        let right = sums[min(x + 1, last)]
        target[y * width + 2 * x] = UInt8((3 * sums[x] + left + 8) >> 4)
        if 2 * x + 1 < width { target[y * width + 2 * x + 1] = UInt8((3 * sums[x] + right + 7) >> 4) }
      }
    }
    return result
  }

  /// Each sample `across` times a row and `down` times a column.
  static func repeated(_ plane: Plane, width: Int, height: Int, across: Int, down: Int) -> Plane {
    var result = Plane(width: width, height: height)
    for y in 0..<height {
      for x in 0..<width {
        result.samples[y * width + x] = plane.samples[y / down * plane.width + x / across]
      }
    }
    return result
  }

  /// Interleaved RGB of three planes of one size.
  static func rgb(_ y: [UInt8], _ u: [UInt8], _ v: [UInt8], _ colour: ColourDescription) -> [UInt8] {
    // Weights of red and blue in luma, H.273 table 4.
    let (red, blue): (Double, Double) =
      switch colour.matrix {
      case 1: (0.2126, 0.0722)
      case 4: (0.30, 0.11)
      case 7: (0.212, 0.087)
      case 9, 10: (0.2627, 0.0593)
      default: (0.299, 0.114)
      }
    let (lumaScale, chromaScale) = colour.isFullRange ? (1, 1) : (255.0 / 219, 255.0 / 224)
    func fixed(_ value: Double) -> Int32 { Int32((value * 65536).rounded()) }
    let luma = fixed(lumaScale)
    let redOfV = fixed(2 * (1 - red) * chromaScale)
    let blueOfU = fixed(2 * (1 - blue) * chromaScale)
    let greenOfU = fixed(2 * blue * (1 - blue) / (1 - red - blue) * chromaScale)
    let greenOfV = fixed(2 * red * (1 - red) / (1 - red - blue) * chromaScale)
    let black: Int32 = colour.isFullRange ? 0 : 16

    var result = [UInt8](repeating: 0, count: 3 * y.count)
    let (ys, us, vs) = (y.span, u.span, v.span)
    var out = result.mutableSpan
    for i in 0..<ys.count {
      let base = (Int32(ys[i]) - black) * luma + 32768
      let (cb, cr) = (Int32(us[i]) - 128, Int32(vs[i]) - 128)
      out[3 * i] = UInt8(clamping: (base + redOfV * cr) >> 16)
      out[3 * i + 1] = UInt8(clamping: (base - greenOfU * cb - greenOfV * cr) >> 16)
      out[3 * i + 2] = UInt8(clamping: (base + blueOfU * cb) >> 16)
    }
    return result
  }
}

/// Samples of one component.
struct Plane {
  let width: Int
  let height: Int
  var samples: [UInt8]

  init(width: Int, height: Int) {
    (self.width, self.height) = (width, height)
    samples = [UInt8](repeating: 0, count: width * height)
  }

  init(width: Int, height: Int, samples: [UInt8]) {
    (self.width, self.height, self.samples) = (width, height, samples)
  }
}

extension Picture {
  /// 4:2:0 as RGB, chroma interpolated between its samples in the middle of four pixels; any other picture as it is.
  ///
  /// - Parameter colour: what the samples mean; JFIF's when nil.
  public func rgbOrGrey(_ colour: ColourDescription? = nil) -> Picture {
    guard format == .yuv420 else { return self }
    let planes = planes
    let chroma = planes[1...].map { layout in
      let plane = Plane(width: layout.width, height: layout.height, samples: Array(samples[layout.range]))
      return Chroma.doubleBoth(plane, width: width, height: height).samples
    }
    let rgb = Chroma.rgb(Array(samples[planes[0].range]), chroma[0], chroma[1], colour ?? .jfif)
    return makePicture(width, height, .rgb, rgb)
  }
}
