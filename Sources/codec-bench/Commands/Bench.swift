// SPDX-License-Identifier: BSD-3-Clause
import SwiftCodec
import SwiftCodecBenchmark

/// Times kernels, layers, networks, entropy coding and the whole codec, as fractions of the machine's own peak.
enum BenchCommand: Command {
  static let name = "bench"
  static let summary = "time layers, networks, entropy coding and the whole codec on this machine"
  static let operands = "[PICTURE]"
  static let operandCount = 0...1
  static let options = [
    OptionSpec("model", value: "FILE", "a model file instead of the one in the library"),
    OptionSpec("rate-points", value: "LIST", "such as 0,3,5-6; the lowest and the highest by default"),
    OptionSpec("size", value: "WxH", "of the generated picture; 768x512 by default"),
    OptionSpec("repeats", value: "N", "timed runs of each; 9 by default"),
    OptionSpec("threads", short: "j", value: "N", "of the whole codec and networks; 1 by default"),
    OptionSpec("cpu", value: "NAME", "one variant of the kernels: \(CPU.names.joined(separator: ", "))"),
    OptionSpec("stripe", value: "ROWS", "output rows that pass through a network at a time"),
    OptionSpec("entropy", "time entropy coding only"),
    OptionSpec("layer", "instead, time the lossless residual layer at its efforts"),
    OptionSpec("memory", "instead, decode and encode once and print the peak of resident memory"),
    OptionSpec("json", "print JSON"),
  ]
  static let notes = """
    Everything is compared with the plain C reference before it is timed. Fractions are of the variant's own int16
    multiply-add peak, measured in the same run with a loop in registers only. On one thread times are the thread's
    processor time.
    """

  static func run(_ arguments: Arguments) throws(ToolError) {
    let model = try loadModel(arguments)
    var execution = Execution()
    execution.threads = try arguments.integer("threads", in: 1...256) ?? 1
    execution.stripeRows = try arguments.integer("stripe", in: 1...65536) ?? 0
    if let name = arguments.string("cpu") {
      guard let cpu = CPU(name: name) else { throw .usage("--cpu \(name): not a variant that this processor has") }
      execution.cpu = cpu
    }
    let repeats = try arguments.integer("repeats", in: 1...10000) ?? 9
    let count = model.ratePoints.count
    let points = try arguments.integers("rate-points", in: 0..<count) ?? (count > 1 ? [0, count - 1] : [0])
    let picture: Picture
    if let path = arguments.operands.first {
      picture = try readPicture(path)
    } else {
      picture = try syntheticPicture(size: arguments.string("size") ?? "768x512")
    }
    if arguments.has("memory") {
      return try measureMemory(model, picture, points, execution, json: arguments.has("json"))
    }
    if arguments.has("layer") {
      return try measureLayer(picture, execution, repeats, json: arguments.has("json"))
    }

    let clock = Benchmark.clockRate()
    var report = Report(json: arguments.has("json"), clock: clock)
    try report.head(model, picture, execution)
    // The best of all: whatever else the machine does can only make it look slower.
    var peak = 0.0
    for k in points {
      report.section(k)
      do throws(Benchmark.Failure) {
        for role in arguments.has("entropy") ? [] : [GraphRole.synthesis, .analysis] {
          peak = max(peak, Benchmark.peak(execution.cpu))
          let network = try Benchmark.network(
            role, of: model, picture, ratePoint: k, execution: execution, repeats: repeats)
          report.network(role, network, peak: peak * Double(execution.threads), layerPeak: peak, picture)
        }
        for kind in model.entropyKinds {
          let (decode, encode) = try Benchmark.entropy(
            kind, of: model, picture, ratePoint: k, cpu: execution.cpu, repeats: repeats)
          report.symbols(decode)
          report.symbols(encode)
        }
        if !arguments.has("entropy") {
          var settings = EncoderSettings(ratePoint: k)
          settings.execution = execution
          let (encode, decode) = try Benchmark.codec(model, picture, settings, repeats: repeats)
          report.pixels(encode)
          report.pixels(decode)
        }
      } catch {
        throw .inconsistent(error.description)
      }
      try report.sectionEnd(peak: peak)
    }
    try report.finish()
  }

  /// A smooth scene with edges and noise, the same on every machine.
  private static func syntheticPicture(size: String) throws(ToolError) -> Picture {
    let sides = size.split(separator: "x").map { Int($0) }
    guard sides.count == 2, let width = sides[0], let height = sides[1], 1...65535 ~= width, 1...65535 ~= height else {
      throw .usage("--size \(size): not WIDTHxHEIGHT")
    }
    var samples: [UInt8] = []
    samples.reserveCapacity(width * height * 3)
    var state: UInt32 = 1
    for y in 0..<height {
      for x in 0..<width {
        state = state &* 1_664_525 &+ 1_013_904_223
        let noise = Int(state >> 28)
        let edge = (x / 37 + y / 53) % 3 * 40
        samples.append(UInt8((x * 90 / width + edge + noise) & 255))
        samples.append(UInt8((y * 120 / height + edge + noise / 2) & 255))
        samples.append(UInt8(((x + y) * 60 / (width + height) + 2 * edge + noise / 3) & 255))
      }
    }
    do throws(PictureError) {
      return try Picture(width: width, height: height, channels: 3, samples: samples)
    } catch { throw .usage(error.description) }
  }

  private static func measureLayer(
    _ picture: Picture, _ execution: Execution, _ repeats: Int, json: Bool
  ) throws(ToolError) {
    var rows = [["effort", "bit/pixel", "encode, Msample/s", "decode, Msample/s"]]
    var efforts: [JSON] = []
    for effort in ResidualCodec.efforts {
      let (encode, decode, size): (Benchmark.Timing, Benchmark.Timing, Int)
      do throws(Benchmark.Failure) {
        (encode, decode, size) = try Benchmark.layer(picture, effort: effort, execution: execution, repeats: repeats)
      } catch { throw .inconsistent(error.description) }
      let bits = Double(8 * size) / Double(picture.width * picture.height)
      let speeds = [encode, decode].map { 1e3 * $0.work / $0.minimum }
      rows.append(["\(effort)", fixed(bits, 3)] + speeds.map { fixed($0, 2) })
      efforts.append([
        "effort": JSON(effort), "bpp": .number(bits), "encode_msamples_per_second": .number(speeds[0]),
        "decode_msamples_per_second": .number(speeds[1]),
      ])
    }
    try printOutput(json ? JSON.array(efforts).text : table(rows))
  }

  private static func measureMemory(
    _ model: Model, _ picture: Picture, _ points: [Int], _ execution: Execution, json: Bool
  ) throws(ToolError) {
    let k = points[points.count - 1]
    var settings = EncoderSettings(ratePoint: k)
    settings.execution = execution
    settings.measuresDistortion = false
    let output = picture.samples.count
    let beforeEncoding = try resetPeakResidentMemory()
    let encoded: Encoded
    do throws(EncodeError) {
      encoded = try encode(picture, model: model, settings: settings)
    } catch { throw .inconsistent(error.description) }
    let encoding = peakResidentMemory() - beforeEncoding
    let beforeDecoding = try resetPeakResidentMemory()
    do throws(DecodeError) {
      let decoded = try decode(encoded.bytes, model: model, execution: execution)
      precondition(decoded.width == picture.width && decoded.height == picture.height)
    } catch { throw .inconsistent(error.description) }
    let decoding = peakResidentMemory() - beforeDecoding - output
    if json {
      let report: JSON = [
        "width": JSON(picture.width), "height": JSON(picture.height), "rate_point": JSON(k),
        "threads": JSON(execution.threads), "encode_bytes_beyond_picture": JSON(encoding),
        "decode_bytes_beyond_picture": JSON(decoding),
      ]
      return try printOutput(report.text)
    }
    func mebibytes(_ bytes: Int) -> String { fixed(Double(bytes) / 1_048_576, 1) + " MiB" }
    try printOutput(
      """
      \(picture.width)×\(picture.height), rate point \(k), threads \(execution.threads)
      encode: \(mebibytes(encoding)) of peak resident memory beyond the input picture
      decode: \(mebibytes(decoding)) of peak resident memory beyond the output picture

      """)
  }
}

/// What `bench` prints: a table as it goes, or JSON at the end.
private struct Report {
  let json: Bool
  /// Clock cycles per nanosecond.
  let clock: Double
  var rows: [[String]] = []
  var points: [JSON] = []
  var entries: [JSON.Member] = []
  var current = 0

  mutating func head(_ model: Model, _ picture: Picture, _ execution: Execution) throws(ToolError) {
    entries = [
      .init(name: "model", value: .string(hexadecimal(model.id))), .init(name: "width", value: JSON(picture.width)),
      .init(name: "height", value: JSON(picture.height)), .init(name: "cpu", value: .string(execution.cpu.name)),
      .init(name: "processor", value: .string(processorName())), .init(name: "threads", value: JSON(execution.threads)),
      .init(name: "clock_ghz", value: .number(clock)),
    ]
    if json { return }
    try printOutput(
      """
      model \(hexadecimal(model.id)) (\(printable(model.name))), picture \(picture.width)×\(picture.height)
      \(processorName()), \(execution.cpu.name), threads \(execution.threads), clock \(fixed(clock, 2)) GHz

      """)
  }

  mutating func section(_ ratePoint: Int) {
    current = ratePoint
    rows = [["rate point \(ratePoint)", "median ms", "min ms", "ns/pixel", "MAC/cycle", "of peak"]]
    points.append(["rate_point": JSON(ratePoint)])
  }

  private mutating func append(_ name: String, _ timing: Benchmark.Timing, pixels: Double?, peak: Double?, unit: String)
  {
    let rate = timing.work / timing.minimum
    var row = [name, fixed(timing.median / 1e6, 3), fixed(timing.minimum / 1e6, 3)]
    row.append(pixels.map { fixed(timing.minimum / $0, 2) } ?? "")
    var members: [JSON.Member] = [
      .init(name: "name", value: .string(name)), .init(name: "median_ns", value: .number(timing.median)),
      .init(name: "min_ns", value: .number(timing.minimum)), .init(name: unit, value: .number(timing.work)),
    ]
    if let peak {
      row += [fixed(rate / clock, 2), fixed(100 * rate / peak, 1) + " %"]
      members.append(.init(name: "mac_per_cycle", value: .number(rate / clock)))
      members.append(.init(name: "peak_fraction", value: .number(rate / peak)))
    } else if unit == "symbols" {
      row.append(fixed(1e3 * rate, 1) + " Msymbol/s")
      members.append(.init(name: "msymbols_per_second", value: .number(1e3 * rate)))
    } else {
      row.append(fixed(1e3 * rate, 2) + " Mpixel/s")
      members.append(.init(name: "mpixels_per_second", value: .number(1e3 * rate)))
    }
    rows.append(row)
    guard case .object(var point) = points[points.count - 1] else { return }
    var timings: [JSON] = []
    if let last = point.last, last.name == "timings", case .array(let before) = last.value {
      timings = before
      point.removeLast()
    }
    timings.append(.object(members))
    point.append(.init(name: "timings", value: .array(timings)))
    points[points.count - 1] = .object(point)
  }

  mutating func network(
    _ role: GraphRole, _ network: Benchmark.Network, peak: Double, layerPeak: Double, _ picture: Picture
  ) {
    let pixels = Double(picture.width * picture.height)
    append("\(role.name)", network.whole, pixels: pixels, peak: peak, unit: "multiply_adds")
    for layer in network.layers {
      append(
        "  " + printable(layer.name), layer, pixels: pixels, peak: layer.work > 0 ? layerPeak : nil,
        unit: "multiply_adds")
    }
  }

  mutating func symbols(_ timing: Benchmark.Timing) {
    append(timing.name, timing, pixels: nil, peak: nil, unit: "symbols")
  }

  mutating func pixels(_ timing: Benchmark.Timing) {
    append(timing.name, timing, pixels: timing.work, peak: nil, unit: "pixels")
  }

  mutating func sectionEnd(peak: Double) throws(ToolError) {
    if json { return }
    try printOutput("\n" + table(rows) + (peak > 0 ? "int16 peak of one thread: \(fixed(peak, 1)) GMAC/s\n" : ""))
  }

  func finish() throws(ToolError) {
    if json { try printOutput(JSON.object(entries + [.init(name: "rate_points", value: .array(points))]).text) }
  }
}

/// The processor as the system calls it.
private func processorName() -> String {
  guard let bytes = try? readFile("/proc/cpuinfo") else { return "unknown processor" }
  for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") where line.hasPrefix("model name") {
    if let colon = line.firstIndex(of: ":") { return String(line[line.index(colon, offsetBy: 2)...]) }
  }
  return "unknown processor"
}

/// Peak resident memory of this process in bytes.
private func peakResidentMemory() -> Int {
  if let bytes = try? readFile("/proc/self/status") {
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") where line.hasPrefix("VmHWM:") {
      let digits = line.filter { $0.isNumber }
      return (Int(digits) ?? 0) * 1024
    }
  }
  return 0
}

/// Sets the peak back to what is in use now, and returns it. On Linux.
private func resetPeakResidentMemory() throws(ToolError) -> Int {
  releaseFreeMemory()
  try writeInPlace("/proc/self/clear_refs", "5\n")
  return peakResidentMemory()
}
