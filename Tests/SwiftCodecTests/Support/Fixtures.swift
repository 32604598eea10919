// SPDX-License-Identifier: BSD-3-Clause

import Foundation

@testable import SwiftCodec
import SwiftCodecDefaultModel
@testable import PictureFiles
@testable import codec_bench

/// The files of Fixtures/, and pictures made on the spot.
enum Fixtures {
  static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures")

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

  private static func model(_ name: String) -> Model {
    do throws(ModelError) { return try Model((try? bytes("models/\(name).scm")) ?? []) } catch {
      fatalError("\(name): \(error.description)")
    }
  }

  /// A model of random weights with every operation.
  static let tiny = model("tiny")

  /// A small one with a hyperprior: two slices, modulated layers, a latent with fractional bits.
  static let tinyHyper = model("tiny-hyper")

  /// tiny-hyper grown by a domain of two rate points with more hidden units.
  static let tinyGrown = model("tiny-grown")

  /// Three pixel formats, strides of 3 and 4.
  static let tinyFormats = model("tiny-formats")

  /// For frames after another: predicted planes, a state, contexts, the reference's latent, a hyperprior.
  static let tinyInter = model("tiny-inter")

  /// The paper's network.
  static let base = model("base")

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

  /// The planes that Training/fixtures.py draws: luma is channel 0 of `formulaPicture`, U and V are channels 1 and 2 at half
  /// the size.
  static func formulaPicture(width: Int, height: Int, _ format: PixelFormat) -> Picture {
    let whole = formulaPicture(width: width, height: height)
    if format == .rgb { return whole }
    var samples = channel(0, of: whole)
    if format == .yuv420 {
      let half = formulaPicture(width: (width + 1) / 2, height: (height + 1) / 2)
      samples += channel(1, of: half) + channel(2, of: half)
    }
    return Picture(unchecked: width, height, format, samples)
  }

  static func channel(_ c: Int, of picture: Picture) -> [UInt8] {
    stride(from: c, to: picture.samples.count, by: picture.channels).map { picture.samples[$0] }
  }

  /// BT.709 of limited range, chroma the mean of four pixels.
  static func yuv420(_ rgb: Picture) -> Picture {
    let (width, height) = (rgb.width, rgb.height)
    let (w, h) = ((width + 1) / 2, (height + 1) / 2)
    func clamp(_ value: Double) -> UInt8 { UInt8(min(max(value.rounded(), 0), 255)) }
    var luma = [Double](repeating: 0, count: width * height)
    var chroma = [[Double]](repeating: [Double](repeating: 0, count: w * h), count: 2)
    var counts = [Double](repeating: 0, count: w * h)
    for y in 0..<height {
      for x in 0..<width {
        let p = y * width + x
        let (r, g, b) = (
          Double(rgb.samples[3 * p]), Double(rgb.samples[3 * p + 1]), Double(rgb.samples[3 * p + 2])
        )
        luma[p] = 0.2126 * r + 0.7152 * g + 0.0722 * b
        let q = y / 2 * w + x / 2
        chroma[0][q] += (b - luma[p]) / 1.8556
        chroma[1][q] += (r - luma[p]) / 1.5748
        counts[q] += 1
      }
    }
    var samples = luma.map { (value: Double) -> UInt8 in clamp(16 + value * 219 / 255) }
    for plane in chroma {
      for (sum, count) in zip(plane, counts) { samples.append(clamp(128 + sum / count * 224 / 255)) }
    }
    return Picture(unchecked: width, height, .yuv420, samples)
  }

  /// Frame `t` of a clip: a drawn scene that moves under a still border, with a light that changes.
  static func movingFrame(_ t: Int, width: Int, height: Int) -> Picture {
    func plane(_ c: Int, _ width: Int, _ height: Int, _ shift: Int) -> [UInt8] {
      (0..<height).flatMap { y in
        (0..<width).map { x in
          let (u, v) = (x + 2 * t / shift, y - t / shift)
          let wave = (u * u / 9 + 3 * v * (2 + c) + u * v / 7) % 64
          let isInside = (x / (8 / shift) + y / (8 / shift)) % 4 != 0
          return UInt8(min(max((isInside ? 90 + 30 * c + wave : 40 + 50 * c) + (c == 0 ? t : 0), 0), 255))
        }
      }
    }
    let (w, h) = ((width + 1) / 2, (height + 1) / 2)
    let samples = plane(0, width, height, 1) + plane(1, w, h, 2) + plane(2, w, h, 2)
    return Picture(unchecked: width, height, .yuv420, samples)
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

  static func hash(_ bytes: [UInt8]) -> String { hexadecimal32(crc32c(bytes, in: 0..<bytes.count)) }

  /// Of the planes as networks see them: all of a grey or RGB picture; luma, then U and V interleaved.
  static func planeHashes(_ picture: Picture) -> [String] {
    guard picture.format == .yuv420 else { return [hash(picture.samples)] }
    let planes = picture.planes.map { Array(picture.samples[$0.range]) }
    return [hash(planes[0]), hash(zip(planes[1], planes[2]).flatMap { [$0, $1] })]
  }
}

extension SplitMix {
  /// A generator of a test's own, the same in every run. SC_SEED=… gives others, and a run prints the one that it has.
  static func test(_ number: UInt64) -> SplitMix { SplitMix(number &+ (seed &- 1) &* 0x9E37_79B9_7F4A_7C15) }

  /// Of all random tests: SC_SEED=7 swift test … takes another one.
  static let seed: UInt64 = {
    let seed = ProcessInfo.processInfo.environment["SC_SEED"].flatMap { UInt64($0) } ?? 1
    print("SC_SEED=\(seed)")
    return seed
  }()
}

/// How many cases a random test tries: `more` in `make test-long`.
func cases(_ count: Int, long more: Int) -> Range<Int> {
  0..<(ProcessInfo.processInfo.environment["SC_LONG"] == nil ? count : more)
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
