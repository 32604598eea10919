// SPDX-License-Identifier: BSD-3-Clause

import Foundation

@testable import SwiftCodec
import SwiftCodecDefaultModel
@testable import PictureFiles
@testable import codec_bench

/// The files of Fixtures/, and pictures made on the spot.
enum Fixtures {
  static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures")

  static func url(_ path: String) -> URL { directory.appendingPathComponent(path) }

  static func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: url(path))) }

  static func lines(_ path: String) throws -> [[String]] {
    try String(contentsOf: url(path), encoding: .utf8).split(separator: "\n").filter { !$0.hasPrefix("#") }
      .map { $0.split(separator: " ").map(String.init) }
  }

  static func picture(_ name: String) throws -> Picture { try readPicture(url("pictures/\(name).png").path) }

  /// All of Fixtures/pictures.
  static let pictureNames: [String] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: url("pictures").path)) ?? []
    return names.filter { $0.hasSuffix(".png") }.map { String($0.dropLast(4)) }.sorted()
  }()

  static let tinyBytes: [UInt8] = { (try? bytes("models/tiny.scm")) ?? [] }()

  /// A model of random weights with every operation.
  static let tiny: Model = {
    do throws(ModelError) { return try Model(tinyBytes) } catch { fatalError(error.description) }
  }()

  /// A small one with a hyperprior: two slices, modulated layers, a latent with fractional bits.
  static let tinyHyper: Model = {
    do throws(ModelError) { return try Model((try? bytes("models/tiny-hyper.scm")) ?? []) } catch {
      fatalError(error.description)
    }
  }()

  /// The paper's network.
  static let base: Model = {
    do throws(ModelError) { return try Model((try? bytes("models/base.scm")) ?? []) } catch {
      fatalError(error.description)
    }
  }()

  static let embedded: Model = {
    do throws(ModelError) { return try Model.embedded() } catch { fatalError(error.description) }
  }()

  /// The picture that Training/fixtures.py draws.
  static func formulaPicture(width: Int, height: Int) -> Picture {
    var samples: [UInt8] = []
    for y in 0..<height {
      for x in 0..<width {
        for c in 0..<3 {
          let ripple = 11 * ((x * x + 7 * y + 5 * c) % 13)
          samples.append(UInt8((5 * x + 3 * y + 40 * c + x * y / 4 + ripple) % 256))
        }
      }
    }
    return Picture(unchecked: width, height, 3, samples)
  }

  static func randomPicture(_ width: Int, _ height: Int, _ channels: Int, _ random: inout SplitMix) -> Picture {
    // Flat areas, ramps and noise.
    let kind = random.below(3)
    let base = random.below(256)
    let samples = (0..<(width * height * channels)).map { i in
      kind == 0 ? UInt8(base) : kind == 1 ? UInt8((base + i * 3) % 256) : UInt8(random.below(256))
    }
    return Picture(unchecked: width, height, channels, samples)
  }

  /// CRC-32C of a picture's samples.
  static func hash(_ picture: Picture) -> UInt32 { crc32c(picture.samples, in: 0..<picture.samples.count) }
}

/// A small generator with a seed that tests can print.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
  mutating func int(_ range: ClosedRange<Int>) -> Int { range.lowerBound + below(range.count) }
  mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }
}

extension SplitMix {
  /// A generator of a test's own, the same in every run. SC_SEED=… gives others, and a run prints the one that it has.
  static func test(_ number: UInt64) -> SplitMix { SplitMix(number &+ (seed &- 1) &* 0x9E37_79B9_7F4A_7C15) }

  private static let seed: UInt64 = {
    print("SC_SEED=\(NetworkTests.seed)")
    return NetworkTests.seed
  }()
}

func hexadecimal32(_ value: UInt32) -> String { String(hexadecimal(UInt64(value)).suffix(8)) }

extension Picture {
  /// A view that outlives the picture: for tests alone, its memory is never freed.
  var lastingView: PictureView {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: samples.count)
    memory.initialize(from: samples, count: samples.count)
    return PictureView(memory, width: width, height: height, format: format)
  }
}

extension NetworkProgram {
  func analyse(_ picture: Picture, _ layout: LatentLayout, channels: Int, _ execution: Execution) -> Latent {
    picture.withView { analyse($0, layout, channels: channels, execution) }
  }

  func synthesise(
    _ latent: Latent, width: Int, height: Int, channels: Int, _ execution: Execution,
    into out: UnsafeMutablePointer<UInt8>, rowStride: Int
  ) {
    precondition(rowStride == width * channels)
    synthesise(
      latent, into: PictureView(out, width: width, height: height, format: channels == 1 ? .grey : .rgb), execution)
  }
}
