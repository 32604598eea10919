// SPDX-License-Identifier: BSD-3-Clause

/// From squared responses to random signs, whose mean is the curvature, to an estimate: a line for each channel over
/// the activity of the place, which is the response of all channels together over its mean.
func fitCurvature(
  _ curvature: UnsafeMutablePointer<Float>, places: Int, scales: [Double], probes: Int
) {
  let channels = scales.count
  let powers = scales.map { Float($0) * Float($0) }
  var activity = [Float](repeating: 0, count: places)
  var mean = 0.0
  for p in 0..<places {
    var sum: Float = 0
    for c in 0..<channels { sum += curvature[p * channels + c] * powers[c] }
    activity[p] = sum
    mean += Double(sum)
  }
  mean = mean > 0 ? mean / Double(places) : 1
  for p in 0..<places { activity[p] /= Float(mean) }
  let probes = Double(max(1, probes))
  for c in 0..<channels {
    // Least squares, weighted as the noise grows with the curvature.
    var (s0, s1, s2, t0, t1, sum) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for p in 0..<places {
      let f = Double(activity[p])
      let v = Double(curvature[p * channels + c]) / probes
      let w = 1 / max(f * f, 0.0025)
      s0 += w
      s1 += w * f
      s2 += w * f * f
      t0 += w * v
      t1 += w * f * v
      sum += v
    }
    let average = sum / Double(places)
    let determinant = s0 * s2 - s1 * s1
    var slope = determinant > 1e-9 * s0 * s2 ? (s0 * t1 - s1 * t0) / determinant : 0
    var offset = (t0 - slope * s1) / s0
    if slope < 0 { (slope, offset) = (0, t0 / s0) }
    if offset < 0 { (slope, offset) = (s2 > 0 ? t1 / s2 : 0, 0) }
    for p in 0..<places {
      curvature[p * channels + c] = Float(max(0.8 * average, offset + slope * Double(activity[p])))
    }
  }
}
