// SPDX-License-Identifier: BSD-3-Clause
//
// libFuzzer's targets, one for each border of the library: SC_FUZZ_TARGET names the one that a process runs. Built by
// fuzz.sh as one module with the sources of the library and of PictureFiles, and the makers of models of the tests.
//
// Whatever comes in gives a value or an error, and what was encoded decodes to what the encoder said. Checksums and ids are
// mended where a target would see nothing behind them otherwise. Models are prepared once, and pictures are small.
internal import CCodecKernels
internal import CSwiftCodec

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

private struct Target {
  let name: String
  let run: ([UInt8]) -> Void
  /// Inputs to start from, beside the corpus: right ones, so that the fuzzer begins behind the first checks.
  let seeds: () -> [[UInt8]]
}

nonisolated(unsafe) private let targets = [
  Target(name: "models", run: fuzzModel, seeds: modelSeeds),
  Target(name: "bitstreams", run: fuzzBitstream, seeds: bitstreamSeeds),
  Target(name: "video", run: fuzzVideo, seeds: videoSeeds),
  Target(name: "search", run: fuzzSearch, seeds: searchSeeds),
  Target(name: "interface", run: fuzzInterface, seeds: numberSeeds),
  Target(name: "streams", run: fuzzStreams, seeds: numberSeeds),
  Target(name: "pictures", run: fuzzPicture, seeds: pictureSeeds),
  Target(name: "layers", run: fuzzLayer, seeds: layerSeeds),
  Target(name: "headers", run: fuzzHeaders, seeds: headerSeeds),
]

private func environment(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

nonisolated(unsafe) private let target: Target = {
  guard let target = targets.first(where: { $0.name == environment("SC_FUZZ_TARGET") }) else {
    fatalError("SC_FUZZ_TARGET: one of " + targets.map { $0.name }.joined(separator: ", "))
  }
  return target
}()

/// With SC_FUZZ_SEEDS, a folder, the target's seeds are written there instead.
@c(LLVMFuzzerInitialize)
public func fuzzInitialize(
  _ count: UnsafeMutablePointer<Int32>?,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>?
) -> Int32 {
  let folder = environment("SC_FUZZ_SEEDS")
  if folder.isEmpty {
    if target.name == "bitstreams" { prepareBitstreams() }
    if target.name == "search" { prepareSearch() }
    return 0
  }
  for (i, seed) in target.seeds().enumerated() {
    guard let file = fopen("\(folder)/seed-\(i)", "wb"), fwrite(seed, 1, seed.count, file) == seed.count else {
      fatalError(folder)
    }
    fclose(file)
  }
  exit(0)
}

/// One input of the target that SC_FUZZ_TARGET names.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
  guard let data, size > 0 else { return 0 }
  target.run(Array(UnsafeBufferPointer(start: data, count: size)))
  return 0
}

// MARK: What the targets share

func readFile(_ path: String) -> [UInt8] {
  guard let file = fopen(path, "rb") else { fatalError(path) }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = fread(&buffer, 1, buffer.count, file)
    if count == 0 { return bytes }
    bytes += buffer[..<count]
  }
}

let fixtures = environment("SC_FUZZ_FIXTURES")

let modelFiles = ["tiny", "tiny-hyper", "tiny-formats", "tiny-inter"].map { readFile("\(fixtures)/models/\($0).scm") }

func load(_ path: String) -> Model { try! Model(readFile(fixtures + "/" + path)) }

nonisolated(unsafe) let models = modelFiles[..<3].map { try! Model($0) }
let interModel = try! Model(modelFiles[3])
nonisolated(unsafe) let decoders = models.map { limited($0, fuzzLimits) }

func limited(_ model: Model, _ limits: Limits) -> Decoder {
  let decoder = Decoder(model: model)
  decoder.limits = limits
  return decoder
}

/// So that no run takes long.
let fuzzLimits: Limits = {
  var limits = Limits()
  limits.pixels = 1 << 11
  limits.memory = 1 << 26
  limits.work = 1e9
  return limits
}()

func drawn(_ width: Int, _ height: Int, _ format: PixelFormat, _ seed: Int) -> Picture {
  let count = format.sampleCount(width: width, height: height)
  return Picture(
    unchecked: width, height, format,
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* (5 + seed & 3) ^ $0 >> 3) &+ UInt8(truncatingIfNeeded: seed) })
}

/// Numbers from an input; 0 behind its end.
struct Numbers {
  let bytes: [UInt8]
  var at = 0

  var isAtEnd: Bool { at >= bytes.count }

  mutating func u8() -> Int {
    defer { at += 1 }
    return at < bytes.count ? Int(bytes[at]) : 0
  }

  mutating func u16() -> Int { u8() | u8() << 8 }
  mutating func u64() -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(u8()) << UInt64(8 * $1) } }
  /// Mostly that of a struct, or a smaller one: behind a larger one there would have to be memory.
  mutating func structSize(_ size: Int) -> Int { u8() & 15 == 15 ? u8() % size : size }
  mutating func u32() -> UInt32 { UInt32(truncatingIfNeeded: u64()) }
  /// Mostly small.
  mutating func number() -> UInt64 { u8() & 3 == 3 ? u64() : UInt64(u8() & 63) }
  /// True once in `count` times or less.
  mutating func rarely(_ count: Int) -> Bool { u8() % count == count - 1 }
}

/// For targets whose inputs are numbers: pseudo-random ones of some lengths.
func numberSeeds() -> [[UInt8]] {
  var random = SplitMix(7)
  return (0..<64).map { i in
    // Small numbers, among which the usual choices are, and any.
    (0..<(40 + 4 * i)).map { _ in UInt8(random.below(i % 2 == 0 ? 7 : 256)) }
  }
}
