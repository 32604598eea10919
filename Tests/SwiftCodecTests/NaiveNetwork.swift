// SPDX-License-Identifier: BSD-3-Clause

/// FORMAT.md §1.4 read once more: every layer as its formula says, in Int64, on whole tensors. Slow, and shares
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

  /// The output of a graph.
  func run(_ graph: ModelFileWriter.Graph, _ inputs: [Tensor]) -> Tensor {
    var tensors = inputs
    for layer in graph.layers { tensors.append(run(layer, layer.inputs.map { tensors[$0] }, graph)) }
    return tensors[graph.output]
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

  /// Weights, exponents and biases at the rate point.
  private func parameters(
    _ k: ModelFileWriter.Kernel, _ layer: ModelFileWriter.Layer
  ) -> (weights: [Int64], exponents: [Int8], bias: [Int32]) {
    var weights = shorts(k.weights).map { Int64($0) }
    guard let modulation = k.modulation else { return (weights, signedBytes(k.exponents), words(k.bias)) }
    let channels = layer.output.channels
    let taps = weights.count / channels
    let row = (ratePoint * channels)..<((ratePoint + 1) * channels)
    let m = Array(shorts(modulation)[row])
    for i in weights.indices { weights[i] = min(32767, (Int64(m[i / taps]) * weights[i] + 1 << 13) >> 14) }
    return (weights, Array(signedBytes(k.exponents)[row]), Array(words(k.bias)[row]))
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
    let channels = file.width(layer.output, ratePoint)
    let a = x[0]
    switch layer.operation {
    case .convolution(let k):
      var out = Tensor(a.height / k.stride, a.width / k.stride, channels)
      let (weights, exponents, bias) = parameters(k, layer)
      for o in 0..<channels {
        let s = input.q + Int(exponents[o]) - layer.output.q
        for y in 0..<out.height {
          for x in 0..<out.width {
            var acc = Int64(bias[o])
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
      var sums = Tensor(2 * a.height, 2 * a.width, channels)
      let (weights, exponents, bias) = parameters(k, layer)
      for y in -k.kh..<(a.height + k.kh) {
        for x in -k.kw..<(a.width + k.kw) {
          for i in 0..<k.kh {
            let row = 2 * y + i - (k.kh - 1) / 2
            if row < 0 || row >= sums.height { continue }
            for j in 0..<k.kw {
              let column = 2 * x + j - (k.kw - 1) / 2
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
            let s = input.q + Int(exponents[o]) - layer.output.q
            sums[y, x, o] = requantise(Int64(bias[o]) + sums[y, x, o], s, layer)
          }
        }
      }
      return sums
    case .depthwise(let k):
      var out = Tensor(a.height / k.stride, a.width / k.stride, channels)
      let (weights, exponents, bias) = parameters(k, layer)
      for o in 0..<channels {
        let s = input.q + Int(exponents[o]) - layer.output.q
        for y in 0..<out.height {
          for x in 0..<out.width {
            var acc = Int64(bias[o])
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
    case .unknown: fatalError("no such operation")
    }
  }

  private func scale(
    _ layer: ModelFileWriter.Layer, _ a: Tensor, _ gain: [Int16], _ shift: [UInt8], _ full: Int
  ) -> Tensor {
    var out = a
    for i in out.values.indices {
      let c = ratePoint * full + i % a.channels
      let acc = Int64(gain[c]) * a.values[i]
      out.values[i] = requantise(acc, Int(shift[c]), layer)
    }
    return out
  }
}
