// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels
public import SwiftCodec

/// Timings of the codec's parts on this machine, as fractions of what its arithmetic units can do.
///
/// Everything that is timed is first compared with the plain C reference; wrong results are never timed. What runs on one
/// thread is timed in that thread's processor time, so that other work on the machine matters little.
public enum Benchmark {
  /// Why nothing is measured.
  public enum Failure: Error, CustomStringConvertible {
    /// A variant of the kernels gives other results than the plain C reference.
    case mismatch(StaticString)
    case encode(EncodeError)
    case decode(DecodeError)
    case layer(ResidualError)

    /// One line for people.
    public var description: String {
      switch self {
      case .mismatch(let what): "\(what) differs from the plain C reference: not timed"
      case .encode(let error): error.description
      case .decode(let error): error.description
      case .layer(let error): error.description
      }
    }
  }

  /// Repeated timings of one piece of work.
  public struct Timing: Sendable {
    /// What was timed.
    public let name: String
    /// Units of work in one run: multiply-adds of a network or layer, symbols of entropy coding, pixels of a codec.
    public let work: Double
    /// Of each run, ascending.
    public let nanoseconds: [Double]

    /// In nanoseconds.
    public var minimum: Double { nanoseconds[0] }
    /// In nanoseconds.
    public var median: Double {
      let n = nanoseconds.count
      return n % 2 == 1 ? nanoseconds[n / 2] : (nanoseconds[n / 2 - 1] + nanoseconds[n / 2]) / 2
    }

    init(name: String, work: Double, nanoseconds: [UInt64]) {
      self.name = name
      self.work = work
      self.nanoseconds = nanoseconds.map { Double($0) }.sorted()
    }
  }

  /// A whole network and its layers, in the order of execution.
  public struct Network: Sendable {
    /// On all threads that were asked for; the layers on one.
    public let whole: Timing
    /// One by one, in the order of execution, on one thread.
    public let layers: [Timing]
  }

  /// Multiply-adds per nanosecond of the variant's int16 arithmetic in registers alone: the best of some runs.
  public static func peak(_ cpu: CPU) -> Double {
    guard let index = CPU.names.firstIndex(of: cpu.name), let kernels = sc_kernels_get(sc_cpu(UInt32(index))) else {
      preconditionFailure("a variant that this processor has")
    }
    var iterations: UInt64 = 1 << 10
    var best = 0.0
    var runs = 0
    while runs < 15 {
      let start = sc_thread_clock_ns()
      let work = kernels.pointee.peak(iterations)
      let time = sc_thread_clock_ns() - start
      // Runs of some milliseconds: long against the clock's grain, short against the scheduler's.
      if time < 4_000_000 {
        iterations *= 2
        continue
      }
      best = max(best, Double(work) / Double(time))
      runs += 1
    }
    return best
  }

  /// Clock cycles per nanosecond, from a chain of dependent additions: the best of some runs.
  public static func clockRate() -> Double {
    var best = 0.0
    for _ in 0..<15 {
      let start = sc_thread_clock_ns()
      let cycles = sc_dependent_additions(1 << 22)
      best = max(best, Double(cycles) / Double(max(1, sc_thread_clock_ns() - start)))
    }
    return best
  }

  private static func time(
    _ name: String, work: Double, threads: Int = 1, repeats: Int, _ body: () -> Void
  ) -> Timing {
    var times: [UInt64] = []
    for _ in 0..<max(1, repeats) {
      let start = threads == 1 ? sc_thread_clock_ns() : sc_clock_ns()
      body()
      times.append((threads == 1 ? sc_thread_clock_ns() : sc_clock_ns()) - start)
    }
    return Timing(name: name, work: work, nanoseconds: times)
  }

  /// Times a network on a picture: analysis of it, or synthesis of its latent.
  public static func network(
    _ role: GraphRole, of model: Model, _ picture: Picture, ratePoint: Int, execution: Execution, repeats: Int
  ) throws(Failure) -> Network {
    precondition(role == .analysis || role == .synthesis, "analysis and synthesis are timed")
    let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 64)
    let channels = model.latentChannels(ratePoint: ratePoint)
    var plain = execution
    plain.cpu = CPU.scalar
    var (prepared, plainModel) = (PreparedModel(model), PreparedModel(model))
    let latent = prepared.program(.analysis, ratePoint: ratePoint, cpu: execution.cpu)
      .analyse(picture, layout, channels: channels, execution)
    var decoded = picture
    let program = prepared.program(role, ratePoint: ratePoint, cpu: execution.cpu)

    func run(_ program: NetworkProgram, _ execution: Execution, _ profile: UnsafeMutablePointer<UInt64>?) {
      if role == .analysis {
        let result = program.analyse(picture, layout, channels: channels, execution, profile: profile)
        precondition(result.channels == channels)
      } else {
        program.synthesise(latent, into: &decoded, execution, profile: profile)
      }
    }

    let reference = plainModel.program(role, ratePoint: ratePoint, cpu: CPU.scalar)
    if role == .analysis {
      guard reference.analyse(picture, layout, channels: channels, plain).isEqual(to: latent) else {
        throw .mismatch("analysis")
      }
    } else {
      run(reference, plain, nil)
      let expected = decoded
      run(program, execution, nil)
      guard decoded == expected else { throw .mismatch("synthesis") }
    }

    let pixels = Double(layout.paddedWidth * layout.paddedHeight)
    let infos = model.layers(role, ratePoint: ratePoint)
    let macs = infos.map { $0.macPerPixel * pixels }
    let whole = time(role.name, work: macs.reduce(0, +), threads: execution.threads, repeats: repeats) {
      run(program, execution, nil)
    }
    // The layers' times come from runs of their own, on one thread: reading the clock costs a little.
    var single = execution
    single.threads = 1
    var times = [[UInt64]](repeating: [], count: macs.count)
    for _ in 0..<max(1, repeats) {
      let profile = AlignedBuffer<UInt64>(count: macs.count, zero: 0)
      run(program, single, profile.base)
      for i in macs.indices { times[i].append(profile.base[i]) }
    }
    let layers = macs.indices.map { Timing(name: infos[$0].name, work: macs[$0], nanoseconds: times[$0]) }
    return Network(whole: whole, layers: layers)
  }

  /// Times decoding and encoding of a latent, the networks of a hyperprior included; work is in samples of active
  /// channels.
  public static func entropy(
    _ kind: EntropyKind, of model: Model, _ picture: Picture, ratePoint: Int, cpu: CPU, repeats: Int
  ) throws(Failure) -> (decode: Timing, encode: Timing) {
    var prepared = PreparedModel(model)
    guard let codec = prepared.segmentCodec(kind, ratePoint: ratePoint, cpu: cpu) else {
      throw .encode(.entropyModel(kind))
    }
    // One segment, whatever the picture's height.
    let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 1 << 16)
    var execution = Execution()
    execution.cpu = cpu
    let latent = prepared.program(.analysis, ratePoint: ratePoint, cpu: cpu)
      .analyse(picture, layout, channels: model.latentChannels(ratePoint: ratePoint), execution)
    let hyperLatent = prepared.hyperLatent(of: latent, ratePoint: ratePoint, execution)
    let coded = latent.copy()
    func encode() -> [UInt8] {
      coded.segments[0].base.update(from: latent.segments[0].base, count: latent.segments[0].count)
      return codec.encode(codec.quantise(segment: 0, coded, hyperLatent: hyperLatent?.segments[0].base, execution))
        .payload
    }
    let payload = encode()
    let back = Latent(layout: layout, channels: latent.channels)
    func decode() -> Bool { codec.decode(payload, in: 0..<payload.count, segment: 0, back, execution) }
    guard decode(), back.isEqual(to: coded) else { throw .mismatch("entropy decoding") }
    let samples = Double(coded.activeSamples)
    let decoding = time("decode \(kind.name)", work: samples, repeats: repeats) { _ = decode() }
    let encoding = time("encode \(kind.name)", work: samples, repeats: repeats) { _ = encode() }
    return (decoding, encoding)
  }

  /// Times whole encoding (without measuring the distortion) and whole decoding; work is in pixels.
  public static func codec(
    _ model: Model, _ picture: Picture, _ settings: EncoderSettings, repeats: Int
  ) throws(Failure) -> (encode: Timing, decode: Timing) {
    let encoder = Encoder(model: model)
    let decoder = Decoder(model: model, execution: settings.execution)
    let encoded: Encoded
    let decoded: Picture
    do throws(EncodeError) { encoded = try encoder.encode(picture, settings) } catch { throw .encode(error) }
    do throws(DecodeError) { decoded = try decoder.decode(encoded.bytes) } catch { throw .decode(error) }
    if let expected = encoded.reconstruction, expected != decoded { throw .mismatch("the decoded picture") }
    var plain = Execution()
    plain.cpu = CPU.scalar
    let reference: Picture
    do throws(DecodeError) {
      reference = try Decoder(model: model, execution: plain).decode(encoded.bytes)
    } catch { throw .decode(error) }
    guard reference == decoded else { throw .mismatch("the decoded picture") }

    var quick = settings
    quick.measuresDistortion = false
    let pixels = Double(picture.width * picture.height)
    let threads = settings.execution.threads
    let encoding = time("encode", work: pixels, threads: threads, repeats: repeats) {
      _ = try? encoder.encode(picture, quick)
    }
    let decoding = time("decode", work: pixels, threads: threads, repeats: repeats) {
      _ = try? decoder.decode(encoded.bytes)
    }
    return (encoding, decoding)
  }

  /// Times encoding and decoding of a lossless residual layer alone, whose size is in bytes; work is in samples.
  public static func layer(
    _ picture: Picture, effort: Int, execution: Execution, repeats: Int
  ) throws(Failure) -> (encode: Timing, decode: Timing, size: Int) {
    var settings = ResidualCodec.Settings()
    settings.effort = effort
    func encode() -> [UInt8] { ResidualCodec.encode(picture, settings: settings, execution: execution) }
    let bytes = encode()
    func decode() throws(ResidualError) -> Picture {
      try ResidualCodec.decode(
        bytes, width: picture.width, height: picture.height, format: picture.format, execution: execution)
    }
    let decoded: Picture
    do throws(ResidualError) { decoded = try decode() } catch { throw .layer(error) }
    guard decoded == picture else { throw .mismatch("the decoded layer") }
    let samples = Double(picture.samples.count)
    let encoding = time("encode", work: samples, threads: execution.threads, repeats: repeats) { _ = encode() }
    let decoding = time("decode", work: samples, threads: execution.threads, repeats: repeats) { _ = try? decode() }
    return (encoding, decoding, bytes.count)
  }
}

extension Latent {
  /// Samples of the first segment's channels that are not constant.
  fileprivate var activeSamples: Int {
    let size = layout.rows(segment: 0).count * layout.width
    var count = 0
    for c in 0..<channels {
      let plane = UnsafeBufferPointer(start: segments[0].base + c * size, count: size)
      if plane.contains(where: { $0 != plane[0] }) { count += size }
    }
    return count
  }
}
