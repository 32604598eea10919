// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import Testing

@testable import PictureFiles
@testable import SwiftCodec
@testable import codec_bench

/// Videos at the command line, with models that load fast.
@Suite struct VideoToolTests {
  private let place: Workplace

  init() throws { place = try Workplace() }

  private static let models = [
    "--model", Fixtures.url("models/tiny-formats.scm").path, "--inter-model",
    Fixtures.url("models/tiny-inter.scm").path,
  ]

  private func run(_ arguments: String...) throws -> Workplace.Outcome { try place.run(arguments + Self.models) }

  /// The frames of a Y4M file.
  private func frames(_ name: String) throws -> [Picture] {
    let bytes = try place.bytes(name)
    var position = 0
    var reader = try Y4MReader { count in
      defer { position = min(position + count, bytes.count) }
      return Array(bytes[position..<min(position + count, bytes.count)])
    }
    var frames: [Picture] = []
    while let frame = try reader.next() { frames.append(frame) }
    return frames
  }

  /// A stream of eight frames, at least every third of which is an intra frame: where packets begin and end in the file.
  private func encodeClip() throws -> (stream: [UInt8], ends: [Int]) {
    let writer = Y4MWriter(Y4MHeader(width: 33, height: 20, chroma: .yuv420jpeg))
    var clip = writer.start
    for t in 0..<8 {
      // Stripes, which resemble even a bad prediction more than the rows above: no frame is a new scene.
      let luma = (0..<(33 * 20)).map { UInt8($0 / 66 % 2 == 0 ? 9 * t : 255 - ($0 + t) % 33) }
      let samples = luma + [UInt8](repeating: 128, count: 2 * 17 * 10)
      clip += try writer.frame(try Picture(width: 33, height: 20, format: .yuv420, samples: samples))
    }
    try place.write("in.y4m", clip)
    #expect(try run("encode", "in.y4m", "a.scv", "-q30", "--intra-period", "3").status == 0)
    let stream = try place.bytes("a.scv")
    var offset = 0
    _ = try VideoHeader(parsing: Array(stream.prefix(VideoHeader.maximumSize)), size: &offset)
    var ends = [offset]
    for _ in 0..<8 {
      offset += try VideoPacketPrefix(parsing: Array(stream[offset..<(offset + VideoPacketPrefix.prefixSize)])).size
      ends.append(offset)
    }
    return (stream, ends)
  }

  /// The largest streams that fit; a pipe cannot be read several times.
  @Test func sizes() throws {
    let size = try encodeClip().stream.count
    for (name, size) in [("b.scv", size), ("c.scv", 2 * size)] {
      let outcome = try run(
        "encode", "in.y4m", name, "--intra-period", "3", "--size", "\(Double(size) / 1000)k", "--quiet")
      #expect(outcome.status == 0 && outcome.output.isEmpty)
      #expect(try place.bytes(name).count <= size)
    }
    #expect(try place.bytes("b.scv").count <= place.bytes("c.scv").count)
    #expect(try run("encode", "in.y4m", "d.scv", "--size", "20").status == 65)
    #expect(try run("encode", "-", "d.scv", "--size", "4k").status == 64)
    #expect(try run("encode", "in.y4m", "d.scv", "--size", "4k", "-q30").status == 64)
  }

  @Test func losslessStreams() throws {
    _ = try encodeClip()
    let clip = try frames("in.y4m")
    #expect(try run("encode", "in.y4m", "l.scv", "--lossless", "--effort", "9").status == 0)
    #expect(try run("decode", "l.scv", "l.y4m").status == 0)
    #expect(try frames("l.y4m") == clip)
    #expect(try run("encode", "in.y4m", "e.scv", "--max-error", "2").status == 0)
    #expect(try run("decode", "e.scv", "e.y4m").status == 0)
    for (a, b) in zip(try frames("e.y4m"), clip) {
      #expect(zip(a.samples, b.samples).allSatisfy { abs(Int($0) - Int($1)) <= 2 })
    }
    #expect(try place.bytes("e.scv").count < place.bytes("l.scv").count)
    for others in [["-q", "50"], ["--bitrate", "1M"], ["--rdoq", "fast"], ["--size", "4k"], ["--max-error", "1"]] {
      let outcome = try place.run(["encode", "in.y4m", "f.scv", "--lossless"] + others + Self.models)
      #expect(outcome.status == 64, "\(others)")
    }
  }

  /// What `info` says of a stream, whole and cut off.
  @Test func aStreamIsDescribed() throws {
    let (stream, ends) = try encodeClip()
    let model = ["--model", Fixtures.url("models/tiny-formats.scm").path]
    let text = try place.run(["info", "a.scv"] + model)
    #expect(text.status == 0)
    for line in ["33x20, yuv420, 8 frames", "\(stream.count) bytes", "3 intra", "5 inter", "tiny-formats"] {
      #expect(String(decoding: text.output, as: UTF8.self).contains(line), "\(line)")
    }
    let json = try JSON(parsing: place.run(["info", "a.scv", "--json"] + model).output)
    #expect(json["type"]?.string == "stream" && json["frames"]?.number == 8 && json["fault"] == .null)
    try place.write("cut.scv", Array(stream[..<(ends[4] + 7)]))
    let cut = try JSON(parsing: place.run(["info", "cut.scv", "--json"] + model).output)
    #expect(cut["frames"]?.number == 4 && cut["fault"]?.string?.contains("frame 4") == true)
    try place.write("bad.scv", Array(stream[..<6]))
    #expect(try place.run(["info", "bad.scv"] + model).status == 65)
  }

  @Test func aStreamComesBack() throws {
    let (_, ends) = try encodeClip()
    #expect(ends.count == 9)
    for threads in [1, 4] {
      #expect(try run("decode", "a.scv", "\(threads).y4m", "-j\(threads)").status == 0)
      #expect(try run("encode", "in.y4m", "\(threads).scv", "-q30", "--intra-period", "3", "-j\(threads)").status == 0)
      #expect(try place.bytes("\(threads).scv") == place.bytes("a.scv"))
    }
    #expect(try place.bytes("1.y4m") == place.bytes("4.y4m") && frames("1.y4m").count == 8)
    #expect(try run("decode", "a.scv", "/dev/full").status == 74)
  }

  /// The frames before the damage come out; the error names the frame; with --resync decoding goes on at the next intra frame.
  @Test func damageAndResynchronisation() throws {
    let (stream, ends) = try encodeClip()
    #expect(try run("decode", "a.scv", "whole.y4m").status == 0)
    let whole = try frames("whole.y4m")
    try #require(whole.count == 8)
    let intra = (0..<8).filter { Array(stream[ends[$0]..<(ends[$0] + 4)]) == Array("INTR".utf8) }
    #expect(intra == [0, 3, 6])
    var count = (flips: 0, recovered: 0)
    for t in 0..<8 {
      for place in [0, 5, (ends[t] + ends[t + 1]) / 2 - ends[t], ends[t + 1] - ends[t] - 1] {
        var damaged = stream
        damaged[ends[t] + place] ^= 1 << UInt8(place % 8)
        try self.place.write("d.scv", damaged)
        let stopped = try run("decode", "d.scv", "d.y4m")
        let note = "frame \(t), byte \(place)"
        #expect(stopped.status == 65 && stopped.errors.contains("frame \(t)"), "\(note)")
        let before = try frames("d.y4m")
        // Not compared inside of #expect, which would print all samples.
        let isRight = before == Array(whole[..<t])
        #expect(isRight, "\(note): \(before.count) frames")
        let resynchronised = try run("decode", "d.scv", "d.y4m", "--resync")
        #expect(resynchronised.status == 65, "\(note)")
        let next = intra.first { $0 > t } ?? 8
        let found = try frames("d.y4m")
        let isRecovered = found == Array(whole[..<t] + whole[next...])
        #expect(isRecovered, "\(note): \(found.count) frames with --resync")
        count.flips += 1
        if found.count > t { count.recovered += 1 }
      }
    }
    #expect(count.flips == 32 && count.recovered == 4 * (intra.last ?? 0))
    for t in 0..<8 {
      for cut in [1, 7] {
        try place.write("d.scv", Array(stream[..<(ends[t + 1] - cut)]))
        let stopped = try run("decode", "d.scv", "d.y4m")
        #expect(stopped.status == 65 && stopped.errors.contains("frame \(t)"), "\(cut) bytes less after frame \(t)")
        let isRight = try frames("d.y4m") == Array(whole[..<t])
        #expect(isRight)
      }
    }
  }
}
