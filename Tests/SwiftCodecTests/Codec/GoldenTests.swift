// SPDX-License-Identifier: BSD-3-Clause

import CCodecKernels
import Foundation
import CSwiftCodec
import Testing

@testable import SwiftCodec

/// Bitstreams in Fixtures/golden that decode to the same pixels for ever, on every machine and in every build.
/// Tests/embedded/golden.c reads the same files through the C interface. `make golden` writes them again.
@Suite(.serialized) struct GoldenTests {
  /// What there is a file of. The tiny models' files are quick; the others' are what users have.
  struct Wanted {
    let picture: String
    let model: String
    let ratePoint: Int
    var fraction = 0
    var segmentRows = 64
    var entropy: EntropyKind?
    var rdoq = RDOQ.off

    var file: String {
      let name = model.split(separator: "/").last?.split(separator: ".").first ?? "model"
      let position = fraction == 0 ? "\(ratePoint)" : "\(ratePoint)+\(fraction)"
      let coding = entropy.map { "-\($0.name)" } ?? ""
      let search = rdoq == .off ? "" : "-\(rdoq.name)"
      return "\(picture)-\(name)-\(position)\(coding)\(search)\(segmentRows == 64 ? "" : "-segments").sci"
    }
  }

  static let wanted: [Wanted] = {
    let tiny = "models/tiny.scm"
    var all = Fixtures.pictureNames.enumerated().map { i, name in Wanted(picture: name, model: tiny, ratePoint: i % 3) }
    all.append(Wanted(picture: "weave", model: tiny, ratePoint: 2, segmentRows: 8))
    all.append(Wanted(picture: "page", model: tiny, ratePoint: 0, segmentRows: 8))
    all.append(Wanted(picture: "gradient", model: tiny, ratePoint: 1, fraction: 9))
    let hyper = "models/tiny-hyper.scm"
    for (k, name) in ["blobs", "scene-grey", "weave"].enumerated() {
      all.append(Wanted(picture: name, model: hyper, ratePoint: k))
    }
    all.append(Wanted(picture: "noise-1x1", model: hyper, ratePoint: 1))
    all.append(Wanted(picture: "gradient-1x70", model: hyper, ratePoint: 0, segmentRows: 8))
    all.append(Wanted(picture: "page", model: hyper, ratePoint: 2, segmentRows: 8))
    for (k, fraction) in [(0, 13), (1, 31)] {
      all.append(Wanted(picture: "blobs", model: hyper, ratePoint: k, fraction: fraction))
    }
    all.append(Wanted(picture: "scene-grey", model: hyper, ratePoint: 1, fraction: 6, segmentRows: 8))
    for kind in [EntropyKind.static, .threshold, .weighted] {
      all.append(Wanted(picture: "blobs", model: "models/base.scm", ratePoint: 2, entropy: kind))
      if kind != .threshold { all.append(Wanted(picture: "blobs", model: "embedded", ratePoint: 3, entropy: kind)) }
    }
    for (model, rdoq) in [("models/base.scm", RDOQ.fast), ("models/base.scm", .full), ("embedded", .fast)] {
      all.append(Wanted(picture: "blobs", model: model, ratePoint: 1, rdoq: rdoq))
    }
    for (model, last) in [
      ("models/base.scm", Fixtures.base.ratePoints.count - 1), ("embedded", Fixtures.embedded.ratePoints.count - 1),
    ] {
      for k in [0, last / 2, last] { all.append(Wanted(picture: "scene", model: model, ratePoint: k)) }
      all.append(Wanted(picture: "scene-grey", model: model, ratePoint: last / 2))
      all.append(Wanted(picture: "scene", model: model, ratePoint: last / 2 - 1, fraction: 20))
      all.append(Wanted(picture: "noise-17x33", model: model, ratePoint: last))
      all.append(Wanted(picture: "noise-1x1", model: model, ratePoint: 0))
    }
    // "formula" is a picture of the tests' own, "…-yuv420" a picture converted to 4:2:0.
    let formats = "models/tiny-formats.scm"
    for (k, size) in ["1x1", "3x5", "17x33"].enumerated() {
      for format in ["rgb", "grey", "yuv420"] {
        all.append(Wanted(picture: "formula-\(size)-\(format)", model: formats, ratePoint: k))
      }
      all.append(Wanted(picture: "formula-\(size)-yuv420", model: "embedded", ratePoint: 3 * k))
    }
    all.append(Wanted(picture: "formula-40x230-yuv420", model: formats, ratePoint: 1, fraction: 9, segmentRows: 8))
    all.append(Wanted(picture: "formula-17x33-grey", model: "embedded", ratePoint: 4))
    all.append(Wanted(picture: "scene-yuv420", model: "embedded", ratePoint: 2, fraction: 20))
    all.append(Wanted(picture: "blobs-yuv420", model: "embedded", ratePoint: 1, rdoq: .fast))
    return all
  }()

  static func picture(_ name: String) throws -> Picture {
    let words = name.split(separator: "-").map(String.init)
    if words[0] == "formula" {
      let sides = try words[1].split(separator: "x").map { try #require(Int($0)) }
      let format = try #require(PixelFormat.allCases.first { "\($0.name)" == words[2] })
      return Fixtures.formulaPicture(width: sides[0], height: sides[1], format)
    }
    if words.last == "yuv420" { return Fixtures.yuv420(try Fixtures.picture(String(name.dropLast(7)))) }
    return try Fixtures.picture(name)
  }

  /// A damaged file and the status that it gives.
  struct Damage {
    let file: String
    let status: sc_status
    let change: (inout [UInt8]) -> Void
  }

  static var damages: [Damage] {
    [
      Damage(file: "bad-empty.sci", status: SC_ERROR_TRUNCATED) { $0 = [] },
      Damage(file: "bad-magic.sci", status: SC_ERROR_NOT_A_BITSTREAM) { $0[0] ^= 1 },
      Damage(file: "bad-version.sci", status: SC_ERROR_VERSION) { $0[3] = 200 },
      Damage(file: "bad-header.sci", status: SC_ERROR_CHECKSUM) { $0[9] ^= 0x10 },
      Damage(file: "bad-payload.sci", status: SC_ERROR_CHECKSUM) { $0[$0.count / 2] ^= 0x40 },
      Damage(file: "bad-cut.sci", status: SC_ERROR_CHECKSUM) { $0.removeLast() },
      Damage(file: "bad-short.sci", status: SC_ERROR_TRUNCATED) { $0.removeLast($0.count - 13) },
      Damage(file: "bad-trailing.sci", status: SC_ERROR_CHECKSUM) { $0.append(0) },
      Damage(file: "bad-model.sci", status: SC_ERROR_OTHER_MODEL) { patchHeader(&$0) { $0[4] ^= 1 } },
      Damage(file: "bad-rate-point.sci", status: SC_ERROR_RATE_POINT) { patchHeader(&$0) { $0[8] = 65 } },
      Damage(file: "bad-flags.sci", status: SC_ERROR_INVALID) { patchHeader(&$0) { $0[3] |= 0x60 } },
      Damage(file: "bad-width.sci", status: SC_ERROR_INVALID) { patchHeader(&$0) { $0[9] = 0 } },
      Damage(file: "bad-size.sci", status: SC_ERROR_INVALID) { patchHeader(&$0) { $0[9] = 120 } },
      // Two segments of eight rows where the picture has one.
      Damage(file: "bad-segments.sci", status: SC_ERROR_INVALID) {
        $0[3] |= 0x80
        $0.replaceSubrange(
          11...,
          with: [1, 2] + Array("SEGM".utf8) + [0, 0, 0, 0, 0] + Array("SEGM".utf8) + [0, 0, 0, 0, 0]
            + Array("END ".utf8) + [0, 0, 0, 0, 0])
        Mending.bitstream(&$0)
      },
    ]
  }

  /// Changes header fields and mends the checksum of the only segment.
  static func patchHeader(_ bytes: inout [UInt8], _ change: (inout [UInt8]) -> Void) {
    change(&bytes)
    let end = bytes.count - 4
    let crc = crc32c(bytes, in: 0..<end)
    for i in 0..<4 { bytes[end + i] = UInt8(truncatingIfNeeded: crc >> UInt32(8 * i)) }
  }

  static func model(_ name: String) -> Model {
    switch name {
    case "embedded": Fixtures.embedded
    case "models/base.scm": Fixtures.base
    case "models/tiny-hyper.scm": Fixtures.tinyHyper
    case "models/tiny-formats.scm": Fixtures.tinyFormats
    case "models/tiny-inter.scm": Fixtures.tinyInter
    default: Fixtures.tiny
    }
  }

  static func encode(_ wanted: Wanted) throws -> [UInt8] {
    let encoder = Encoder(model: model(wanted.model))
    encoder.segmentRows = wanted.segmentRows
    var settings = EncoderSettings(position: RatePosition(ratePoint: wanted.ratePoint, fraction: wanted.fraction))
    settings.measuresDistortion = false
    settings.execution.threads = 2
    settings.entropy = wanted.entropy
    settings.rdoq = wanted.rdoq
    return try encoder.encode(picture(wanted.picture), settings).bytes
  }

  /// "1" after a change of the encoder or of a model, "format" after one of the format, "video" for streams of frames alone.
  static let writing = ProcessInfo.processInfo.environment["SC_WRITE_GOLDEN"] ?? ""

  @Test func filesDecodeToTheirHashes() throws {
    if Self.writing == "video" {
      try Self.writeVideo(to: Fixtures.url("golden"))
    } else if !Self.writing.isEmpty {
      try Self.write()
    }
    let lines = try Fixtures.lines("golden/golden.txt")
    #expect(lines.count == Self.wanted.count)
    for line in lines {
      let file = line[0]
      var execution = Execution()
      execution.threads = 2
      do throws(DecodeError) {
        let decoder = Decoder(model: Self.model(line[1]), execution: execution)
        let picture = try decoder.decode((try? Fixtures.bytes("golden/\(file)")) ?? [])
        #expect(
          ["\(picture.width)", "\(picture.height)", "\(picture.format.name)"] == Array(line[2...4]), "\(file)")
        #expect(hexadecimal32(Fixtures.hash(picture)) == line[5], "\(file)")
      } catch {
        Issue.record("\(file): \(error.description) (make golden writes the files of a new model)")
      }
    }
  }

  @Test func everyVariantAndThreadCountAgrees() throws {
    let lines = try Fixtures.lines("golden/golden.txt").filter { !$0[0].hasPrefix("scene") }
    #expect(!lines.isEmpty && !CPU.available.isEmpty)
    for line in lines {
      let bytes = try Fixtures.bytes("golden/\(line[0])")
      for cpu in CPU.available {
        for threads in [1, 3] {
          var execution = Execution()
          execution.cpu = cpu
          execution.threads = threads
          execution.stripeRows = threads == 1 ? 0 : 5
          let picture = try Decoder(model: Self.model(line[1]), execution: execution).decode(bytes)
          #expect(hexadecimal32(Fixtures.hash(picture)) == line[5], "\(line[0]), \(cpu.name), \(threads) threads")
        }
      }
    }
  }

  @Test func encoderGivesTheSameFiles() throws {
    for wanted in Self.wanted where wanted.model.contains("tiny") || !wanted.picture.hasPrefix("scene") {
      let same = try Self.encode(wanted) == Fixtures.bytes("golden/\(wanted.file)")
      #expect(same, "\(wanted.file): the encoder gives other bytes; if that is meant, make golden")
    }
  }

  @Test func damagedFilesGiveTheirErrors() throws {
    let lines = try Fixtures.lines("golden/errors.txt")
    #expect(lines.count == Self.damages.count)
    for line in lines {
      let bytes = try Fixtures.bytes("golden/\(line[0])")
      do throws(DecodeError) {
        _ = try Decoder(model: Fixtures.tiny).decode(bytes)
        Issue.record("\(line[0]) decodes")
      } catch {
        #expect(String(error.status.rawValue) == line[1], "\(line[0]): \(error.description)")
      }
    }
  }

  /// Encodes everything again. A file of a present model that no longer decodes to its pixels stops it: that would be a
  /// change of the decoder or of the format.
  static func write() throws {
    for line in (try? Fixtures.lines("golden/golden.txt")) ?? [] {
      guard let bytes = try? Fixtures.bytes("golden/\(line[0])"), let header = try? BitstreamHeader(parsing: bytes),
        header.modelID == model(line[1]).shortID, writing != "format"
      else { continue }
      let picture = try Decoder(model: model(line[1])).decode(bytes)
      try #require(hexadecimal32(Fixtures.hash(picture)) == line[5], "\(line[0]): the decoder gives other pixels")
    }
    let directory = Fixtures.url("golden")
    try? FileManager.default.removeItem(at: directory)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    var text = "# Bitstream, model, width, height, format, CRC-32C of the decoded samples. Written by make golden.\n"
    for wanted in wanted {
      let bytes = try encode(wanted)
      try Data(bytes).write(to: directory.appendingPathComponent(wanted.file))
      let picture = try Decoder(model: model(wanted.model)).decode(bytes)
      text += "\(wanted.file) \(wanted.model) \(picture.width) \(picture.height) \(picture.format.name) "
      text += "\(hexadecimal32(Fixtures.hash(picture)))\n"
    }
    try Data(text.utf8).write(to: directory.appendingPathComponent("golden.txt"))
    text = "# Damaged bitstream of models/tiny.scm, sc_status. Written by make golden.\n"
    let good = try encode(Wanted(picture: "gradient-33x17-grey", model: "models/tiny.scm", ratePoint: 1))
    for damage in damages {
      var bytes = good
      damage.change(&bytes)
      try Data(bytes).write(to: directory.appendingPathComponent(damage.file))
      text += "\(damage.file) \(damage.status.rawValue)\n"
    }
    try Data(text.utf8).write(to: directory.appendingPathComponent("errors.txt"))
    try writeVideo(to: directory)
  }
  // ---- Streams of frames ----

  /// Their models, and the frames of each.
  static let streams: [(file: String, intra: String, inter: String, frames: Int)] =
    [("moving-tiny.scv", "models/tiny-formats.scm", "models/tiny-inter.scm", 12)]
    + SystemTests.names.map {
      ("moving-\($0).scv", "models/tiny-\($0)-intra.scm", "models/tiny-\($0)-inter.scm", 5)
    }
    + bounded.map { ($0.file, "models/tiny-formats.scm", "models/tiny-inter.scm", 5) }

  /// Streams of residual layers.
  private static let bounded: [(file: String, error: Int)] = [("moving-lossless.scv", 0), ("moving-error-3.scv", 3)]

  static func videoStream(_ file: String) throws -> VideoTests.Stream {
    var settings = VideoTests.settings {
      $0.intraPeriod = 8
      $0.rate = .quality(60)
      $0.execution.threads = 2
    }
    if let (_, error) = bounded.first(where: { $0.file == file }) {
      settings.rate = .maximumError(error)
      settings.intraPeriod = 4
      return try VideoTests.encode(frames: 5, width: 61, height: 43, settings)
    }
    guard let system = SystemTests.names.first(where: { file == "moving-\($0).scv" }) else {
      return try VideoTests.encode(frames: 12, width: 61, height: 43, settings)
    }
    return try SystemTests.encode(system, frames: SystemTests.moving(5, width: 61, height: 52), settings)
  }

  static func writeVideo(to directory: URL) throws {
    var text = "# Stream, models of intra and of inter frames, frame, CRC-32C of its samples (4:2:0). By make golden.\n"
    for (file, intra, inter, _) in streams {
      let stream = try videoStream(file)
      try Data(stream.bytes).write(to: directory.appendingPathComponent(file))
      for (t, frame) in stream.frames.enumerated() {
        text += "\(file) \(intra) \(inter) \(t) \(hexadecimal32(Fixtures.hash(frame)))\n"
      }
    }
    try Data(text.utf8).write(to: directory.appendingPathComponent("golden-video.txt"))
  }

  @Test(arguments: streams.indices) func streamsDecodeToTheirHashes(_ i: Int) throws {
    let (name, intraName, interName, count) = Self.streams[i]
    let all = try Fixtures.lines("golden/golden-video.txt")
    #expect(all.count == Self.streams.reduce(0) { $0 + $1.frames })
    let lines = all.filter { $0[0] == name }
    #expect(lines.count == count && lines.allSatisfy { $0[1] == intraName && $0[2] == interName })
    let (intra, inter) = (
      try Model(try Fixtures.bytes(intraName)), try Model(try Fixtures.bytes(interName))
    )
    let bytes = try Fixtures.bytes("golden/\(name)")
    for cpu in CPU.available {
      var execution = Execution()
      execution.cpu = cpu
      execution.threads = 2
      var size = 0
      _ = try VideoHeader(parsing: bytes, size: &size)
      let decoder = try VideoDecoder(
        header: Array(bytes[..<size]), intra: intra, inter: inter, execution: execution)
      var hashes: [String] = []
      while size < bytes.count {
        let prefix = try VideoPacketPrefix(parsing: bytes, at: size)
        if let frame = try decoder.decode(Array(bytes[size..<(size + prefix.size)])) {
          #expect(frame.number == hashes.count)
          hashes.append(hexadecimal32(Fixtures.hash(frame.picture)))
        }
        size += prefix.size
      }
      #expect(hashes == lines.map { $0[4] }, "\(name), \(cpu.name)")
    }
  }

  @Test(arguments: streams.map(\.file)) func encoderGivesTheSameStream(_ file: String) throws {
    let same = try Self.videoStream(file).bytes == Fixtures.bytes("golden/\(file)")
    #expect(same, "\(file): the encoder gives other bytes; if that is meant, make golden")
  }
}
