// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Adjoint passes of a segment's slices, for the next time.
final class KeptPasses {
  fileprivate var ofSlices: [Int: AdjointPass] = [:]
}

extension SegmentPrior {
  /// Adds to a gradient at the decoded latent what a move does to the bits of later slices, through their means and scales.
  ///
  /// What is decoded there is taken to stay, as a slice's symbols answer a move of its means: a symbol is what is decoded
  /// less the mean. `adjoints` are those of all slices but the first, `rate` holds the symbols, `latent` [channels][places] what they
  /// decode to, or will: with the symbols given, it and means and scales are made of them on the way. `gradient` is that of
  /// half the squared error, [channels][places], which costs `weight` · squared error.
  func addLaterSlices(
    _ adjoints: [AdjointProgram], _ rate: SegmentRate, _ latent: UnsafeMutablePointer<Int16>,
    decoding symbols: UnsafePointer<Int16>?, weight: Double,
    to gradient: UnsafeMutablePointer<Float>, _ kept: KeptPasses?, _ execution: Execution
  ) {
    let unit = 1 / Float(2 * weight)
    let perMean = -1 / Float(1 << latentExponent)
    let places = rate.width * rate.height
    propagateLaterSlices(adjoints, latent, decoding: symbols, rate, kept, execution) { c, byMean, byScale in
      rate.differences(c, order: 1, byValue: byMean, byScale: byScale)
      for p in 0..<places { byMean[p] *= perMean }
    } into: { y, row, units in
      sc_gradient_to_planes(
        row, units.map { unit * $0 }, gradient + y * width, places, Int32(units.count), width, 1)
    }
  }

  /// Adds to the curvature that goes with that gradient how the bits of later slices bend, as far as they bend upwards: the
  /// response to random signs, each times the root of a second difference, squared. Where bits bend, the gradient alone
  /// promises too much.
  func addLaterCurvature(
    _ adjoints: [AdjointProgram], _ rate: SegmentRate, _ latent: UnsafeMutablePointer<Int16>, weight: Double,
    probe: Int, to curvature: UnsafeMutablePointer<Float>, _ kept: KeptPasses?, _ execution: Execution
  ) {
    let unit = 1 / Float(2 * weight)
    let perMean = 1 / Float(1 << latentExponent)
    let places = rate.width * rate.height
    var state = UInt64(probe + 1) &* 0x9E37_79B9_7F4A_7C15
    func root(_ bend: Float) -> Float {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      let root = max(0, bend).squareRoot()
      return state >> 63 == 0 ? root : -root
    }
    propagateLaterSlices(adjoints, latent, decoding: nil, rate, kept, execution) { c, byMean, byScale in
      rate.differences(c, order: 2, byValue: byMean, byScale: byScale)
      for p in 0..<places {
        byMean[p] = perMean * root(byMean[p])
        byScale[p] = root(byScale[p])
      }
    } into: { y, row, units in
      for x in 0..<width {
        let at = curvature + (y * width + x) * rate.channelCount
        for c in units.indices {
          let derivative = Float(row[x * units.count + c]) * units[c]
          at[c] += unit * derivative * derivative
        }
      }
    }
  }

  /// Takes derivatives with respect to means and scales of later slices, [places] of a channel, back to the slices before:
  /// `add` gets rows of those with respect to the latent, [width][earlier channels], with the unit of each channel.
  private func propagateLaterSlices(
    _ adjoints: [AdjointProgram], _ latent: UnsafeMutablePointer<Int16>, decoding symbols: UnsafePointer<Int16>?,
    _ rate: SegmentRate, _ kept: KeptPasses?, _ execution: Execution,
    _ derivatives: (_ c: Int, _ byMean: UnsafeMutablePointer<Float>, _ byScale: UnsafeMutablePointer<Float>) -> Void,
    into add: (_ y: Int, _ row: UnsafePointer<Int16>, _ units: [Float]) -> Void
  ) {
    let places = width * height
    var alone = execution
    alone.threads = 1
    func decode(_ slice: Int) {
      guard let symbols else { return }
      rate.setScales(scales.base, sliceRanges[slice])
      dequantise(slice, symbols, into: latent)
    }
    if symbols != nil {
      predict(0, from: latent, execution)
      decode(0)
    }
    for (slice, range) in sliceRanges.enumerated().dropFirst() {
      let adjoint = adjoints[slice - 1]
      let pass =
        kept?.ofSlices[slice]
        ?? AdjointPass(
          adjoint, input: 1, width: width * divisor, height: height * divisor, rows: 0..<height,
          threads: execution.threads)
      kept?.ofSlices[slice] = pass
      predict(slice, from: latent, alone) { [height] in pass.keepMask($0, $1, $2, output: 0..<height) }
      decode(slice)
      // Derivatives with respect to the network's output: means, then scales.
      let own = range.count
      let byMean = AlignedBuffer<Float>(count: own * places, zero: 0)
      let byScale = AlignedBuffer<Float>(count: own * places, zero: 0)
      var power = 0.0
      for (k, c) in range.enumerated() {
        let (means, scales) = (byMean.base + k * places, byScale.base + k * places)
        derivatives(c, means, scales)
        for p in 0..<places { power += Double(means[p] * means[p] + scales[p] * scales[p]) }
      }
      if power == 0 { continue }
      // To a spread of 2^8 to 2^9, as errors have.
      let exponent = 8 - (power / Double(2 * own * places)).squareRoot().exponent
      let factor = Float(sign: .plus, exponent: Int(exponent), significand: 1)
      let limit = Float(SC_GRADIENT_LIMIT)
      for y in 0..<height {
        let out = pass.outputRow(y)
        for k in 0..<own {
          let (means, scales) = (byMean.base + k * places + y * width, byScale.base + k * places + y * width)
          for x in 0..<width {
            out[2 * own * x + k] = Int16(min(max(means[x] * factor, -limit), limit))
            out[2 * own * x + own + k] = Int16(min(max(scales[x] * factor, -limit), limit))
          }
        }
      }
      pass.propagate()
      let unit = Float(adjoint.scales[adjoint.forward.output][0]) / factor
      let units = pass.inputScales.map { unit / Float($0) }
      for y in 0..<height { add(y, pass.inputRow(y), units) }
    }
  }
}
