// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// The encoder's choice of filters: those that least squares give for classes that go together, if they save more errors than
/// their bits are worth.
///
/// Sums are exact integers, and what follows is the same sequence of operations on every machine: so are the filters.
struct FilterDesign {
  /// The error that filters leave is a quadratic form: gain(c) = 2 v·c − c·G c, for taps c.
  private struct Form {
    let taps: Int
    /// [taps][taps], then v.
    var values: [Double]

    init(_ taps: Int) {
      self.taps = taps
      values = [Double](repeating: 0, count: taps * (taps + 1))
    }

    mutating func add(_ other: Form) { for i in values.indices { values[i] += other.values[i] } }

    func adding(_ other: Form) -> Form {
      var sum = self
      sum.add(other)
      return sum
    }
  }

  /// A filter of some classes and what it is worth.
  private struct Fit {
    var taps: [Int8] = []
    var bits = 0.0
    /// In bits.
    var gain = 0.0
    var cost: Double { taps.isEmpty ? 0 : bits - gain }
  }

  private let planes: [PictureFilter.Plane]
  /// By plane and class.
  private var forms: [[Form]] = [[], [], []]
  private static let classes = Int(SC_FILTER_CLASSES)
  private static let scale = Double(1 << SC_FILTER_BITS)

  /// Measures a decoded picture. `lambda` is what a squared error is worth in bits, as `RatePoint.lambda`; `skip` as in
  /// `sc_filter_measure`.
  init(
    _ decoded: PictureView, original: PictureView, lambda: Double, skip: UnsafePointer<UInt8>? = nil,
    _ execution: Execution
  ) {
    let format = decoded.format
    planes = PictureFilter.planes(format)
    // A part of a large picture tells enough: of one below a megapixel it does not.
    let blocks = decoded.width * decoded.height / 16
    let every = blocks < 1 << 16 ? 1 : blocks < 1 << 18 ? 2 : 4
    let unit = Double(every) * lambda / DistortionMeter.unit(format)
    for kind in PictureFilter.kinds(format) {
      let own = PictureFilter.planes(of: kind)
      let sizes = PictureFilter.Plane.allCases.map { plane in
        own.contains(plane) ? Self.classes * plane.sums : 0
      }
      let size = sizes.reduce(0, +)
      PictureFilter.withJob(kind, decoded, execution.cpu) { job in
        let bands = PictureFilter.Bands(&job, measures: true, execution)
        let sums = AlignedBuffer<Int64>(count: bands.count * size, zero: 0, execution.pool)
        original.components.withUnsafeBufferPointer { original in
          nonisolated(unsafe) let original = original.baseAddress
          parallel(threads: execution.threads, count: bands.count) { band in
            var own = job
            let (first, end) = bands.range(band)
            let base = sums.base + band * size
            let parts: [UnsafeMutablePointer<Int64>?] = sizes.indices.map { i in
              sizes[i] == 0 ? nil : base + sizes[..<i].reduce(0, +)
            }
            sc_filter_measure(&own, original, skip, Int32(every), first, end, bands.memory(band), parts)
          }
        }
        for plane in own {
          let (weight, target) = Self.weights(format, plane)
          let offset = sizes[..<plane.rawValue].reduce(0, +)
          forms[plane.rawValue] = (0..<Self.classes).map { c in
            let at = offset + c * plane.sums
            return Self.form(
              (0..<bands.count).map { sums.base + $0 * size + at }, plane.taps, weight: unit * weight,
              target: unit * weight * target)
          }
        }
      }
    }
  }

  /// What squared errors of a plane count, and what its measured errors are to be multiplied by. Errors of RGB are three
  /// times as large as those that a filter of all three changes; what R and B gain, half of it twice, G has, too.
  private static func weights(_ format: PixelFormat, _ plane: PictureFilter.Plane) -> (weight: Double, target: Double) {
    switch (format, plane) {
    case (.grey, _): (1, 1)
    case (.rgb, .luma): (3, 1 / 3)
    case (.rgb, _): (1.25, 1 / 3)
    case (.yuv420, .luma): (Double(SC_LUMA_WEIGHT), 1)
    case (.yuv420, _): (Double(SC_CHROMA_WEIGHT), 1)
    }
  }

  private static func form(
    _ sums: [UnsafeMutablePointer<Int64>], _ taps: Int, weight: Double, target: Double
  ) -> Form {
    var form = Form(taps)
    var at = 0
    for i in 0..<taps {
      for j in i...taps {
        let sum = Double(sums.reduce(0) { $0 + $1[at] })
        at += 1
        if j == taps {
          form.values[taps * taps + i] = sum * target / scale
        } else {
          form.values[i * taps + j] = sum * weight / (scale * scale)
          form.values[j * taps + i] = form.values[i * taps + j]
        }
      }
    }
    return form
  }

  /// About the bits of a tap.
  private static let tapBits: [Double] = (0...Int(SC_FILTER_TAP)).map { m in
    m == 0 ? 0.8 : 2.4 + 1.6 * binaryLogarithm(Double(m))
  }

  private static func gain(_ form: Form, _ taps: [Int8]) -> Double {
    let n = form.taps
    var sum = 0.0
    for i in 0..<n where taps[i] != 0 {
      var row = 0.0
      for j in 0..<n { row += form.values[i * n + j] * Double(taps[j]) }
      sum += Double(taps[i]) * (2 * form.values[n * n + i] - row)
    }
    return sum
  }

  /// The best filter of a form: least squares, and from there tap by tap what costs less with its bits.
  private static func fit(_ form: Form) -> Fit {
    let n = form.taps
    guard let solution = solve(form) else { return Fit() }
    let most = Double(SC_FILTER_TAP)
    var taps = solution.map { min(most, max(-most, $0.rounded())) }
    var error = [Double](repeating: 0, count: n)  // v − G c
    for i in 0..<n {
      var sum = form.values[n * n + i]
      for j in 0..<n { sum -= form.values[i * n + j] * taps[j] }
      error[i] = sum
    }
    for _ in 0..<2 {
      for i in 0..<n {
        let curvature = form.values[i * n + i]
        guard curvature > 0 else { continue }
        let best = taps[i] + error[i] / curvature
        // J of a value, less what does not depend on it.
        func cost(_ value: Double) -> Double {
          tapBits[Int(abs(value))] + curvature * (value - best) * (value - best)
        }
        var chosen = taps[i]
        for candidate in [0, best.rounded(.down), best.rounded(.up)] where abs(candidate) <= most {
          if cost(candidate) < cost(chosen) { chosen = candidate }
        }
        let change = chosen - taps[i]
        guard change != 0 else { continue }
        taps[i] = chosen
        for j in 0..<n { error[j] -= form.values[j * n + i] * change }
      }
    }
    let whole = taps.map { Int8($0) }
    guard sc_filter_is_valid(whole, Int32(n)) == 1 else { return Fit() }
    let bits = whole.reduce(0) { $0 + tapBits[Int($1.magnitude)] }
    let fit = Fit(taps: whole, bits: bits, gain: gain(form, whole))
    return fit.cost < 0 ? fit : Fit()
  }

  /// Taps of least squares, by Cholesky's decomposition of G with a little more on its diagonal.
  private static func solve(_ form: Form) -> [Double]? {
    let n = form.taps
    var l = form.values
    var most = 0.0
    for i in 0..<n { most = max(most, l[i * n + i]) }
    guard most > 0 else { return nil }
    for i in 0..<n { l[i * n + i] += 1e-3 * most }
    return l.withUnsafeMutableBufferPointer { l -> [Double]? in
      for i in 0..<n {
        for j in 0...i {
          var sum = l[i * n + j]
          for k in 0..<j { sum -= l[i * n + k] * l[j * n + k] }
          if i == j {
            guard sum > 0 else { return nil }
            l[i * n + i] = sum.squareRoot()
          } else {
            l[i * n + j] = sum / l[j * n + j]
          }
        }
      }
      var x = (0..<n).map { l[n * n + $0] }
      for i in 0..<n {
        for k in 0..<i { x[i] -= l[i * n + k] * x[k] }
        x[i] /= l[i * n + i]
      }
      for i in stride(from: n - 1, through: 0, by: -1) {
        for k in (i + 1)..<max(n, i + 1) { x[i] -= l[k * n + i] * x[k] }
        x[i] /= l[i * n + i]
      }
      return x
    }
  }

  /// The filters of a plane, and bits less what they save.
  private func set(_ plane: PictureFilter.Plane) -> (set: FilterSet, cost: Double)? {
    struct Group {
      var classes: [Int]
      var form: Form
      var fit: Fit

      /// Whether classes of both have the same activity or follow each other.
      func isNear(_ other: Group) -> Bool {
        classes.contains { a in other.classes.contains { b in abs(a / 5 - b / 5) <= 1 } }
      }
    }
    var groups: [Group] = []
    for (c, form) in forms[plane.rawValue].enumerated() where form.values[0] > 0 {
      groups.append(Group(classes: [c], form: form, fit: Self.fit(form)))
    }
    // Two groups become one as long as that costs less. What a pair would cost stays as long as both are there.
    var together = [[Fit?]](repeating: [Fit?](repeating: nil, count: groups.count), count: groups.count)
    while groups.count > 1 {
      var best: (i: Int, j: Int, saved: Double)?
      for i in groups.indices {
        for j in 0..<i where groups[i].isNear(groups[j]) {
          let fit = together[i][j] ?? Self.fit(groups[i].form.adding(groups[j].form))
          together[i][j] = fit
          let saved = groups[i].fit.cost + groups[j].fit.cost - fit.cost
          if saved > (best?.saved ?? 0) { best = (i, j, saved) }
        }
      }
      guard let (i, j, _) = best ?? excess(groups.map { $0.fit.cost }) else { break }
      let fit = together[i][j] ?? Self.fit(groups[i].form.adding(groups[j].form))
      groups[j].form.add(groups[i].form)
      groups[j].classes += groups[i].classes
      groups[j].fit = fit
      groups.remove(at: i)
      together.remove(at: i)
      for k in together.indices {
        together[k].remove(at: i)
        together[k][j] = nil
        together[j][k] = nil
      }
    }
    var set = FilterSet()
    var cost = 0.0
    for group in groups where !group.fit.taps.isEmpty {
      set.filters.append(group.fit.taps)
      for c in group.classes { set.map[c] = UInt8(set.filters.count) }
      cost += group.fit.cost
    }
    guard !set.filters.isEmpty else { return nil }
    cost += 6 + Double(Self.classes) * (0.5 + 0.6 * binaryLogarithm(Double(1 + set.filters.count)))
    return cost < 0 ? (set, cost) : nil
  }

  /// The two groups that are worth least, if there are more than a set has filters.
  private func excess(_ costs: [Double]) -> (i: Int, j: Int, saved: Double)? {
    guard costs.reduce(0, { $0 + ($1 < 0 ? 1 : 0) }) > FilterSet.mostFilters else { return nil }
    let order = costs.indices.filter { costs[$0] < 0 }.sorted { costs[$0] > costs[$1] }
    return (max(order[0], order[1]), min(order[0], order[1]), 0)
  }

  /// Bits less what they save, of filters that are there already.
  private func cost(_ filter: PictureFilter) -> Double {
    var cost = 0.0
    for plane in planes {
      guard let set = filter.sets[plane.rawValue] else { continue }
      for (c, form) in forms[plane.rawValue].enumerated() where set.map[c] > 0 {
        cost -= Self.gain(form, set.filters[Int(set.map[c]) - 1])
      }
    }
    return cost
  }

  /// The filters that cost least, none if they save less than their bits and `margin` bits. `previous` ones cost nothing.
  func best(previous: PictureFilter? = nil, margin: Double = 0) -> PictureFilter {
    var (filter, least) = (PictureFilter(), 0.0)
    for plane in planes {
      guard let (set, cost) = set(plane) else { continue }
      filter.sets[plane.rawValue] = set
      least += cost
    }
    if let previous, !previous.isEmpty {
      let cost = cost(previous)
      if cost < least { (filter, least) = (previous, cost) }
    }
    return least < -margin ? filter : PictureFilter()
  }
}

// MARK: - Beside a search

extension FilterDesign {
  /// What squared errors of a decoded 4:2:0 picture are worth in bits.
  static func distortion(_ decoded: PictureView, of original: PictureView, lambda: Double) -> Double {
    let sum = [PictureFilter.Plane.luma, .first, .second].reduce(0.0) {
      $0 + weights(.yuv420, $1).weight * Double(decoded.squaredError(to: original, component: $1.rawValue))
    }
    return lambda / DistortionMeter.unit(.yuv420) * sum
  }

  /// What a search aims at that has filters behind it: the original less what the best filter adds to the picture that is
  /// decoded by now, so that nothing is spent on what the filter mends. nil if there is no filter.
  static func target(
    of original: PictureView, _ decoded: PictureView, lambda: Double, _ execution: Execution
  ) -> Picture? {
    let filter = FilterDesign(decoded, original: original, lambda: lambda, execution).best()
    if filter.isEmpty { return nil }
    let unfiltered = Picture(copying: decoded)
    var filtered = unfiltered
    filtered.withMutableView { filter.apply(to: $0, execution) }
    var target = Picture(copying: original)
    for i in target.samples.indices {
      let added = Int(filtered.samples[i]) - Int(unfiltered.samples[i])
      target.samples[i] = UInt8(min(255, max(0, Int(target.samples[i]) - added)))
    }
    return target
  }
}
