// SPDX-License-Identifier: BSD-3-Clause

/// model.md §6 and §9 read once more: every layer as its formula says, in Int64, on whole tensors. Slow, and shares
/// nothing with the library.
struct NaiveNetwork {
  struct Tensor {
    var height: Int
    var width: Int
    var channels: Int
    /// [height][width][channels]
    var values: [Int64]

    init(_ height: Int, _ width: Int, _ channels: Int) {
      self.height = height
      self.width = width
      self.channels = channels
      values = [Int64](repeating: 0, count: height * width * channels)
    }

    subscript(y: Int, x: Int, c: Int) -> Int64 {
      get { values[(y * width + x) * channels + c] }
      set { values[(y * width + x) * channels + c] = newValue }
    }

    /// A sample that may lie outside: zero, or the nearest one.
    func padded(_ y: Int, _ x: Int, _ c: Int, _ border: Int) -> Int64 {
      if border == 0, y < 0 || y >= height || x < 0 || x >= width { return 0 }
      return self[min(max(y, 0), height - 1), min(max(x, 0), width - 1), c]
    }
  }

  let file: ModelFileWriter
  let ratePoint: Int
  /// In 1/32 on the way to the next rate point.
  var fraction = 0

  private var widthPoint: Int { fraction == 0 ? ratePoint : ratePoint + 1 }

  /// The first output of a graph.
  func run(_ graph: ModelFileWriter.Graph, _ inputs: [Tensor]) -> Tensor { outputs(graph, inputs)[0] }

  /// All outputs of a graph.
  func outputs(_ graph: ModelFileWriter.Graph, _ inputs: [Tensor]) -> [Tensor] {
    var tensors = inputs
    for layer in graph.layers { tensors.append(run(layer, layer.inputs.map { tensors[$0] }, graph)) }
    return graph.outputs.indices.map { tensors[graph.outputTensor($0)] }
  }

  private func shorts(_ index: Int) -> [Int16] {
    guard case .i16(let values) = file.arrays[index].values else { fatalError("not i16") }
    return values
  }

  private func words(_ index: Int) -> [Int32] {
    guard case .i32(let values) = file.arrays[index].values else { fatalError("not i32") }
    return values
  }

  private func signedBytes(_ index: Int) -> [Int8] {
    guard case .i8(let values) = file.arrays[index].values else { fatalError("not i8") }
    return values
  }

  private func bytes(_ index: Int) -> [UInt8] {
    guard case .u8(let values) = file.arrays[index].values else { fatalError("not u8") }
    return values
  }

  private static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 { a / b - (a % b < 0 ? 1 : 0) }

  private static func squareRoot(_ x: Int64) -> Int64 {
    var root: Int64 = 0
    for bit in (0..<32).reversed() {
      let next = root + 1 << Int64(bit)
      if next.multipliedReportingOverflow(by: next).overflow == false, next * next <= x { root = next }
    }
    return root
  }

  /// A scale of each end in units of 2^−(s + 16).
  private static func units(_ scale: Int16, _ shift: Int, _ s: Int) -> Int64 {
    Int64(scale) * 65536 / (1 << Int64(shift - s))
  }

  private static func round16(scale v: Int64) -> Int64 { (abs(v) + 32768) / 65536 * v.signum() }

  private func between(_ a: Int64, _ b: Int64) -> Int64 {
    if a.signum() * b.signum() != 1 { return Self.floorDivide(Int64(32 - fraction) * a + Int64(fraction) * b + 16, 32) }
    var (x, y) = (abs(a), abs(b))
    for digit in [16, 8, 4, 2, 1] {
      let middle = Self.squareRoot(x * y)
      if fraction & digit != 0 { x = middle } else { y = middle }
    }
    return x * a.signum()
  }

  /// Weights, shifts and biases at the position.
  private func parameters(
    _ k: ModelFileWriter.Kernel, _ layer: ModelFileWriter.Layer, _ input: ModelFileWriter.Tensor
  ) -> (weights: [Int64], shifts: [Int], bias: [Int64]) {
    var weights = shorts(k.weights).map { Int64($0) }
    let (exponents, biases) = (signedBytes(k.exponents), words(k.bias))
    let shifts = exponents.map { input.q + Int($0) - layer.output.q }
    guard let modulation = k.modulation else { return (weights, shifts, biases.map { Int64($0) }) }
    let channels = layer.output.channels
    let taps = weights.count / channels
    let scales = shorts(modulation)
    var result: (shifts: [Int], bias: [Int64]) = ([], [])
    for o in 0..<channels {
      let (i, j) = (ratePoint * channels + o, (ratePoint + 1) * channels + o)
      var (s, m, bias) = (shifts[i], Int64(scales[i]), Int64(biases[i]))
      let rows = (o * taps)..<((o + 1) * taps)
      if fraction > 0 {
        s = min(s, shifts[j]) + 1
        var bound = Int64.max
        var (a, b, c, d): (Int64, Int64, Int64, Int64) = (0, 0, 0, 0)
        repeat {
          s -= 1
          (a, b) = (Self.units(scales[i], shifts[i], s), Self.units(scales[j], shifts[j], s))
          (c, d) = (
            Self.floorDivide(Int64(biases[i]) * 65536, 1 << Int64(shifts[i] - s)),
            Self.floorDivide(Int64(biases[j]) * 65536, 1 << Int64(shifts[j] - s))
          )
          let most = max(abs(Self.round16(scale: a)), abs(Self.round16(scale: b)))
          let bias = max(abs(Self.floorDivide(c + 32768, 65536)), abs(Self.floorDivide(d + 32768, 65536)))
          let sum = weights[rows].reduce(0) { $0 + (most * abs($1) + 8192) / 16384 }
          bound = bias + sum << Int64(input.bits)
          bound += 1 << Int64(s - 1 + (layer.activation == 2 ? layer.slope : 0))
        } while bound >= 1 << 31
        m = Self.round16(scale: between(a, b))
        bias = Self.floorDivide(
          Self.floorDivide(Int64(32 - fraction) * c + Int64(fraction) * d + 16, 32) + 32768, 65536)
      }
      for t in rows { weights[t] = min(32767, Self.floorDivide(m * weights[t] + 8192, 16384)) }
      result.shifts.append(s)
      result.bias.append(bias)
    }
    return (weights, result.shifts, result.bias)
  }

  private func clamp(_ value: Int64, _ layer: ModelFileWriter.Layer) -> Int64 {
    let high = Int64(1) << layer.output.bits - 1
    return min(max(value, layer.activation == 1 ? 0 : -high - 1), high)
  }

  private func requantise(_ acc: Int64, _ s: Int, _ layer: ModelFileWriter.Layer) -> Int64 {
    precondition(acc >= -1 << 31 && acc < 1 << 31, "the loader must refuse this")
    let shift = acc < 0 && layer.activation == 2 ? s + layer.slope : s
    return clamp((acc + 1 << (shift - 1)) >> Int64(shift), layer)
  }

  private func align(_ value: Int64, _ d: Int) -> Int64 { d == 0 ? value : (value + 1 << (d - 1)) >> Int64(d) }

  private func run(_ layer: ModelFileWriter.Layer, _ x: [Tensor], _ graph: ModelFileWriter.Graph) -> Tensor {
    let input = graph.tensor(layer.inputs[0])
    let channels = file.width(layer.output, widthPoint)
    let a = x[0]
    switch layer.operation {
    case .convolution(let k):
      var out = Tensor(a.height / k.stride, a.width / k.stride, channels)
      let (weights, shifts, bias) = parameters(k, layer, input)
      for o in 0..<channels {
        let s = shifts[o]
        for y in 0..<out.height {
          for x in 0..<out.width {
            var acc = bias[o]
            for i in 0..<k.kh {
              for j in 0..<k.kw {
                for c in 0..<a.channels {
                  let weight = weights[((o * k.kh + i) * k.kw + j) * input.channels + c]
                  let sample = a.padded(
                    k.stride * y + i - (k.kh - 1) / 2, k.stride * x + j - (k.kw - 1) / 2, c, k.border)
                  acc += Int64(weight) * sample
                }
              }
            }
            out[y, x, o] = requantise(acc, s, layer)
          }
        }
      }
      return out
    case .transposed(let k):
      // Every input sample, also those outside that can reach in, adds to the outputs.
      var sums = Tensor(k.stride * a.height, k.stride * a.width, channels)
      let (weights, shifts, bias) = parameters(k, layer, input)
      for y in -k.kh..<(a.height + k.kh) {
        for x in -k.kw..<(a.width + k.kw) {
          for i in 0..<k.kh {
            let row = k.stride * y + i - (k.kh - 1) / 2
            if row < 0 || row >= sums.height { continue }
            for j in 0..<k.kw {
              let column = k.stride * x + j - (k.kw - 1) / 2
              if column < 0 || column >= sums.width { continue }
              for o in 0..<channels {
                for c in 0..<a.channels {
                  let weight = weights[((o * k.kh + i) * k.kw + j) * input.channels + c]
                  sums[row, column, o] += Int64(weight) * a.padded(y, x, c, k.border)
                }
              }
            }
          }
        }
      }
      for y in 0..<sums.height {
        for x in 0..<sums.width {
          for o in 0..<channels {
            let s = shifts[o]
            sums[y, x, o] = requantise(Int64(bias[o]) + sums[y, x, o], s, layer)
          }
        }
      }
      return sums
    case .depthwise(let k):
      var out = Tensor(a.height / k.stride, a.width / k.stride, channels)
      let (weights, shifts, bias) = parameters(k, layer, input)
      for o in 0..<channels {
        let s = shifts[o]
        for y in 0..<out.height {
          for x in 0..<out.width {
            var acc = bias[o]
            for i in 0..<k.kh {
              for j in 0..<k.kw {
                let sample = a.padded(k.stride * y + i - (k.kh - 1) / 2, k.stride * x + j - (k.kw - 1) / 2, o, k.border)
                acc += Int64(weights[(o * k.kh + i) * k.kw + j]) * sample
              }
            }
            out[y, x, o] = requantise(acc, s, layer)
          }
        }
      }
      return out
    case .gain(let gain, let shift): return scale(layer, a, shorts(gain), bytes(shift), input.channels)
    case .add:
      var out = a
      let d = layer.inputs.map { graph.tensor($0).q - layer.output.q }
      for i in out.values.indices {
        out.values[i] = clamp(align(a.values[i], d[0]) + align(x[1].values[i], d[1]), layer)
      }
      return out
    case .concatenation:
      var out = Tensor(a.height, a.width, x.reduce(0) { $0 + $1.channels })
      for y in 0..<a.height {
        for column in 0..<a.width {
          var to = 0
          for (n, part) in x.enumerated() {
            let d = graph.tensor(layer.inputs[n]).q - layer.output.q
            for c in 0..<part.channels {
              out[y, column, to] = clamp(align(part[y, column, c], d), layer)
              to += 1
            }
          }
        }
      }
      return out
    case .shuffle(let f):
      var out = Tensor(a.height * f, a.width * f, a.channels / (f * f))
      for y in 0..<out.height {
        for x in 0..<out.width {
          for c in 0..<out.channels { out[y, x, c] = a[y / f, x / f, c * f * f + y % f * f + x % f] }
        }
      }
      return out
    case .unshuffle(let f):
      var out = Tensor(a.height / f, a.width / f, a.channels * f * f)
      for y in 0..<a.height {
        for x in 0..<a.width {
          for c in 0..<a.channels { out[y / f, x / f, c * f * f + y % f * f + x % f] = a[y, x, c] }
        }
      }
      return out
    case .hardSwish:
      var out = a
      let one = Int64(1) << Int64(input.q)
      let s = Int64(16 + 2 * input.q - layer.output.q)
      for (i, x) in a.values.enumerated() {
        let product = x * min(max(x + 3 * one, 0), 6 * one) * 10923
        out.values[i] = clamp(Self.floorDivide(product + 1 << (s - 1), 1 << s), layer)
      }
      return out
    case .unknown: fatalError("no such operation")
    }
  }

  private func scale(
    _ layer: ModelFileWriter.Layer, _ a: Tensor, _ gain: [Int16], _ shift: [UInt8], _ full: Int
  ) -> Tensor {
    var out = a
    for i in out.values.indices {
      let c = ratePoint * full + i % a.channels
      if fraction == 0 {
        out.values[i] = requantise(Int64(gain[c]) * a.values[i], Int(shift[c]), layer)
      } else {
        let s = Int(min(shift[c], shift[c + full]))
        let g = between(Self.units(gain[c], Int(shift[c]), s), Self.units(gain[c + full], Int(shift[c + full]), s))
        out.values[i] = requantise(Self.round16(scale: g) * a.values[i], s, layer)
      }
    }
    return out
  }
}
