// SPDX-License-Identifier: BSD-3-Clause

import Foundation
import SwiftCodecDefaultModel
import Testing

@testable import PictureFiles
@testable import SwiftCodec
@testable import codec_bench

/// A folder of its own that is removed in the end, and the tool that was built beside the tests.
final class Workplace {
  let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("codec-bench-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit {
    try? FileManager.default.removeItem(at: folder)
  }

  func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  func bytes(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path(name)))) }

  func write(_ name: String, _ bytes: [UInt8]) throws {
    let url = URL(fileURLWithPath: path(name))
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: url)
  }

  /// The name of a new file.
  func written(_ name: String, _ bytes: [UInt8]) throws -> String {
    try write(name, bytes)
    return name
  }

  struct Outcome {
    let status: Int32
    let output: [UInt8]
    let errors: String
    var text: String { String(decoding: output, as: UTF8.self) }
  }

  /// Runs the tool in the folder with a model that loads fast.
  func runTiny(_ arguments: String..., input: [UInt8] = []) throws -> Outcome {
    try run(arguments + ["--model", Fixtures.url("models/tiny.scm").path], input: input)
  }

  /// Runs the tool in the folder.
  func run(_ arguments: String..., input: [UInt8] = []) throws -> Outcome {
    try run(arguments, input: input)
  }

  /// Starts the tool in the folder, kills it after so many seconds, and gives the names of all files in the end.
  func kill(_ number: Int32, after seconds: Double, _ arguments: String...) throws -> Set<String> {
    let process = try process(arguments + ["--model", Fixtures.url("models/tiny.scm").path])
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    usleep(UInt32(seconds * 1e6))
    Foundation.kill(process.processIdentifier, number)
    process.waitUntilExit()
    return try names()
  }

  func names(_ subfolder: String = "") throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: path(subfolder)).filter { !$0.hasPrefix(".") })
  }

  private func process(_ arguments: [String]) throws -> Process {
    let process = Process()
    process.executableURL = try Self.tool()
    process.arguments = arguments
    process.currentDirectoryURL = folder
    return process
  }

  func run(_ arguments: [String], input: [UInt8] = []) throws -> Outcome {
    let process = try process(arguments)
    // Files, not pipes: nobody waits for anybody.
    try write(".input", input)
    try write(".output", [])
    try write(".errors", [])
    process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: path(".input")))
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: path(".output")))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: path(".errors")))
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationReason == .exit, "\(arguments) crashed")
    return Outcome(
      status: process.terminationStatus, output: try bytes(".output"),
      errors: String(decoding: try bytes(".errors"), as: UTF8.self))
  }

  private static func tool() throws -> URL {
    // The test bundle is the program itself, or an argument of the program that loads it.
    let bundle = try #require(CommandLine.arguments.first { $0.contains(".xctest") })
    var folder = URL(fileURLWithPath: bundle).resolvingSymlinksInPath()
    for _ in 0..<5 {
      folder.deleteLastPathComponent()
      let tool = folder.appendingPathComponent(CodecBench.name)
      if FileManager.default.isExecutableFile(atPath: tool.path) { return tool }
    }
    throw CocoaError(.fileNoSuchFile)
  }
}

@Suite struct CommandLineTests {
  private let place: Workplace

  init() throws {
    place = try Workplace()
    try place.write("in.png", PNG.write(drawnPicture(width: 53, height: 37)))
  }

  @Test(arguments: [1, 3]) func encodesAndDecodes(_ channels: Int) throws {
    let picture = drawnPicture(width: 41, height: 30, channels: channels)
    try place.write("in.pnm", PNM.write(picture))
    let encoded = try place.run("encode", "in.pnm", "a.sci", "--rate-point=0")
    #expect(encoded.status == 0 && encoded.errors == "")
    #expect(encoded.text.contains("41x30"))
    #expect(try encoded.text.contains("\(place.bytes("a.sci").count) bytes"))

    #expect(try place.run("decode", "a.sci", "a.png").status == 0)
    let decoded = try PNG.read(place.bytes("a.png"))
    #expect(decoded == (try decode(place.bytes("a.sci"), model: Model.embedded())))
    #expect((decoded.width, decoded.height, decoded.channels) == (41, 30, channels))
    let psnr = peakSignalToNoiseRatio(squaredError: decoded.squaredError(to: picture), samples: picture.samples.count)
    #expect(encoded.text.contains("PSNR \(fixed(psnr, 3)) dB"))
    #expect(psnr > 20)
  }

  @Test func resultsDoNotDependOnHow() throws {
    #expect(try place.runTiny("encode", "in.png", "a.sci", "-k", "1").status == 0)
    #expect(try place.runTiny("encode", "in.png", "b.sci", "-k", "1", "--threads", "3", "--stripe", "16").status == 0)
    #expect(try place.runTiny("encode", "in.png", "c.sci", "-k", "1", "--cpu", "scalar").status == 0)
    #expect(try place.bytes("a.sci") == place.bytes("b.sci"))
    #expect(try place.bytes("a.sci") == place.bytes("c.sci"))
    #expect(try place.runTiny("decode", "a.sci", "a.ppm").status == 0)
    #expect(try place.runTiny("decode", "a.sci", "b.ppm", "--threads=2", "--stripe=32", "--cpu=scalar").status == 0)
    #expect(try place.bytes("a.ppm") == place.bytes("b.ppm"))
  }

  @Test func qualitiesAndTargets() throws {
    // A model that can hold the picture: with that of the other tests a layer alone is better.
    var random = SplitMix(7)
    let samples = (0..<53 * 37 * 3).map { i in
      UInt8(40 + i / 3 % 53 * 2 + i / 159 * (1 + i % 3 / 2) + random.below(9))
    }
    try place.write("in.png", PNG.write(Picture(width: 53, height: 37, channels: 3, samples: samples)))
    let model = try Model.embedded()
    let last = model.positions.upperBound.index
    #expect(try place.run("encode", "in.png", "a.sci").status == 0)
    #expect(try place.run("encode", "in.png", "b.sci", "-q", "50").status == 0)
    #expect(try place.bytes("a.sci") == place.bytes("b.sci"))
    let between = try place.run("encode", "in.png", "c.sci", "-q", "62.5")
    let position = RatePosition(index: last * 5 / 8)
    #expect(between.status == 0 && between.text.contains("quality 62.5, rate point \(position.description), "))
    #expect(try place.bytes("c.sci").count > (place.bytes("b.sci").count))
    let described = try JSON(parsing: place.run("info", "c.sci", "--json").output)
    #expect(described["rate_point"]?.number == Double(position.index) / 32 && described["quality"]?.number == 62.5)

    #expect(try place.runTiny("encode", "in.png", "c.sci", "-k", "1").status == 0)
    let size = try place.bytes("c.sci").count
    #expect(try place.runTiny("encode", "in.png", "d.sci", "--size", "\(size)").status == 0)
    #expect(try place.bytes("d.sci").count <= size)
    let thousands = "\(Double(size) / 1000)k"
    #expect(try place.runTiny("encode", "in.png", "k.sci", "--size", thousands).status == 0)
    #expect(try place.bytes("k.sci") == place.bytes("d.sci"))
    for wrong in ["0", "-3", "k", "1.5", "3G"] {
      #expect(try place.runTiny("encode", "in.png", "k.sci", "--size", wrong).status == 64)
    }
    #expect(try place.runTiny("encode", "in.png", "e.sci", "--bpp", "\(Double(8 * size) / (53 * 37))").status == 0)
    #expect(try place.bytes("d.sci") == place.bytes("e.sci"))
    let reached = try place.runTiny("encode", "in.png", "f.sci", "--psnr", "5")
    #expect(reached.status == 0 && reached.text.contains("PSNR "))
    let small = try place.runTiny("encode", "in.png", "g.sci", "--size", "40")
    #expect(small.status == 65 && small.errors.contains("no file of at most 40 bytes: the smallest has "))
    let high = try place.runTiny("encode", "in.png", "g.sci", "--psnr", "90")
    #expect(high.status == 0 && high.text.contains("lossless"))
  }

  @Test func standardStreams() throws {
    let encoded = try place.runTiny("encode", "-", "-", "-q", "0", input: place.bytes("in.png"))
    #expect(encoded.status == 0 && encoded.errors.contains("53x37"))
    let asPNM = try place.runTiny("decode", "-", "-", input: encoded.output)
    let asPNG = try place.runTiny("decode", "-", "-", "--format", "png", input: encoded.output)
    #expect(asPNM.status == 0 && asPNG.status == 0)
    #expect(try PNM.read(asPNM.output) == PNG.read(asPNG.output))
  }

  @Test func picksTheFormatByName() throws {
    try place.write("grey.pgm", PNM.write(drawnPicture(width: 20, height: 9, channels: 1)))
    #expect(try place.runTiny("encode", "grey.pgm", "grey.sci", "-k0", "-k", "0").status == 64)
    #expect(try place.runTiny("encode", "grey.pgm", "grey.sci", "-k", "0").status == 0)
    for name in ["a.pgm", "a.pnm", "a.ppm", "a.PNG"] {
      #expect(try place.runTiny("decode", "grey.sci", name).status == 0)
    }
    #expect(try place.bytes("a.pgm").starts(with: Array("P5".utf8)))
    #expect(try place.bytes("a.pnm") == place.bytes("a.pgm"))
    #expect(try PNM.read(place.bytes("a.ppm")) == PNM.read(place.bytes("a.pgm")).rgb)
    #expect(try PNG.read(place.bytes("a.PNG")) == PNM.read(place.bytes("a.pgm")))
    #expect(try place.runTiny("decode", "grey.sci", "a.jpg").status == 64)
    #expect(try place.runTiny("encode", "in.png", "rgb.sci", "-k", "0").status == 0)
    #expect(try place.runTiny("decode", "rgb.sci", "b.pgm").status == 64)
  }

  @Test func errorsHaveTheirCodes() throws {
    func expect(_ status: Int32, _ message: String, _ outcome: Workplace.Outcome) {
      #expect(outcome.status == status, "\(outcome.errors)")
      #expect(outcome.errors.hasPrefix("codec-bench: ") && outcome.errors.contains(message), "\(outcome.errors)")
      #expect(outcome.output.isEmpty)
    }
    expect(64, "no command", try place.run())
    expect(64, "frobnicate", try place.run("frobnicate"))
    expect(64, "--frob", try place.run("encode", "in.png", "a.sci", "--frob"))
    expect(64, "expected encode IN OUT.sci", try place.run("encode", "in.png"))
    expect(64, "--rate-point 99", try place.runTiny("encode", "in.png", "a.sci", "--rate-point", "99"))
    expect(64, "not both", try place.runTiny("encode", "in.png", "a.sci", "--rate-point", "0", "--quality", "3"))
    expect(64, "not both", try place.runTiny("encode", "in.png", "a.sci", "--psnr", "30", "--size", "3"))
    expect(64, "not both", try place.runTiny("encode", "in.png", "a.sci", "--lossless", "--max-error", "3"))
    expect(64, "--lambda has no effect", try place.runTiny("encode", "in.png", "a.sci", "--lambda", "3"))
    expect(64, "--bitrate has no effect on pictures", try place.runTiny("encode", "in.png", "a.sci", "--bitrate", "3k"))
    expect(64, "--psnr has no effect on videos", try place.runTiny("encode", "in.y4m", "a.scv", "--psnr", "40"))
    expect(64, "--resync has no effect on pictures", try place.runTiny("decode", "a.sci", "a.png", "--resync"))
    expect(64, "would replace the input", try place.runTiny("encode", "in.png", "./in.png"))
    expect(64, "one input with --output", try place.runTiny("encode", "in.png", "in.png", "-o", "a.sci"))
    expect(65, "limit of 1960", try place.runTiny("encode", "in.png", "a.sci", "--max-pixels", "1960"))
    expect(65, "\\u{1B}[2J.txt: ", try place.runTiny("info", place.written("\u{1B}[2J.txt", [1, 2, 3])))
    expect(64, "--quality 101", try place.runTiny("encode", "in.png", "a.sci", "--quality", "101"))
    expect(64, "--quality low", try place.runTiny("encode", "in.png", "a.sci", "--quality", "low"))
    expect(64, "--bpp 0", try place.runTiny("encode", "in.png", "a.sci", "--bpp", "0"))
    expect(64, "not both", try place.runTiny("eval", ".", "--json", "-", "-q", "3", "-k", "0"))
    expect(64, "twice", try place.run("encode", "in.png", "a.sci", "--quality", "3", "--quality", "3"))
    expect(64, "needs a value", try place.run("encode", "in.png", "a.sci", "--quality"))
    expect(64, "--cpu abacus", try place.runTiny("encode", "in.png", "a.sci", "--cpu", "abacus"))
    expect(64, "--threads 0", try place.runTiny("decode", "in.png", "a.png", "--threads", "0"))
    expect(64, "--json", try place.run("eval", "."))
    expect(74, "absent.png: No such file", try place.run("encode", "absent.png", "a.sci"))
    expect(74, "absent/a.sci", try place.runTiny("encode", "in.png", "absent/a.sci", "-k", "0"))
    expect(74, "absent", try place.run("eval", "absent", "--json", "-"))
    try place.write("text.txt", Array("no picture".utf8))
    expect(65, "text.txt: not a PNG, JPEG, PNM", try place.run("encode", "text.txt", "a.sci"))
    expect(65, "text.txt: ", try place.runTiny("decode", "text.txt", "a.png"))
    expect(65, "text.txt: neither a bitstream nor a stream nor a model", try place.run("info", "text.txt"))
    expect(65, "text.txt: ", try place.run("encode", "in.png", "a.sci", "--model", "text.txt"))
    expect(65, "text.txt: ", try place.run("bdrate", "text.txt", "text.txt"))
    #expect(try place.runTiny("encode", "in.png", "a.sci", "-k", "0").status == 0)
    try place.write("short.sci", place.bytes("a.sci").dropLast(3))
    expect(65, "short.sci: ", try place.runTiny("decode", "short.sci", "a.png"))
    expect(65, "short.sci: ", try place.runTiny("info", "short.sci"))
    var damaged = try place.bytes("a.sci")
    damaged[damaged.count - 9] ^= 1
    try place.write("damaged.sci", damaged)
    expect(65, "CRC-32C", try place.runTiny("info", "damaged.sci"))
    try place.write("short.png", place.bytes("in.png").dropLast(3))
    expect(65, "short.png: the PNG file ends too early", try place.run("encode", "short.png", "a.sci"))
  }

  // MARK: Everything is kept

  private static let metadata = {
    var metadata = PictureMetadata()
    metadata.icc = (0..<400).map { UInt8(truncatingIfNeeded: $0 * 7) }
    metadata.exif = Array("MM".utf8) + [0, 42, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0]
    metadata.xmp = Array("<x:xmpmeta/>".utf8)
    metadata.cicp = [9, 16, 0, 1]
    metadata.gamma = 45455
    metadata.chromaticities = Chromaticities([31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])
    metadata.resolution = PictureResolution(horizontal: 11811, vertical: 11810, unit: .metre)
    return metadata
  }()

  @Test(arguments: [[], ["--lossless"], ["--max-error=2"], ["-q100"]]) func keepsEverything(_ options: [String]) throws
  {
    let picture = drawnPicture(width: 53, height: 37)
    let alpha = drawnPicture(width: 53, height: 37, channels: 1)
    try place.write("all.png", PNG.write(picture, alpha: alpha, metadata: Self.metadata))
    let encoded = try place.run(["encode", "all.png", "-oall.sci", "--strict"] + options)
    #expect(encoded.status == 0 && encoded.errors == "")
    #expect(try place.run("decode", "all.sci", "back.png", "--strict").errors == "")
    let back = try PictureFile.read(place.bytes("back.png"))
    #expect(back.metadata == Self.metadata && back.alpha == alpha && back.warnings.isEmpty)
    if options == ["--lossless"] { #expect(back.picture == picture) }
    if options == ["--max-error=2"] {
      #expect(zip(back.picture.samples, picture.samples).allSatisfy { abs(Int($0) - Int($1)) <= 2 })
    }
    let lossy = try place.run("decode", "all.sci", "back.ppm")
    #expect(lossy.status == 0 && lossy.errors.split(separator: "\n").count == 1)
    #expect(lossy.errors.contains("does not keep transparency, the colour description (cICP), the ICC profile"))
    #expect(try place.run("decode", "all.sci", "strict.ppm", "--strict").status == 65)
    #expect(try place.run("decode", "all.sci", "back.pam").status == 0)
    #expect(try PictureFile.read(place.bytes("back.pam")).alpha == alpha)
  }

  @Test func warnsOfWhatIsNotKept() throws {
    let png = PNG.write(drawnPicture(width: 9, height: 9))
    func chunk(_ type: String) -> [UInt8] {
      let body = Array(type.utf8) + [65, 0, 66]
      func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) } }
      return word(3) + body + word(crc32(body[...]))
    }
    let texts = chunk("tEXt") + chunk("tIME") + chunk("tEXt")
    try place.write("texts.png", Array(png[..<33]) + texts + png[33...])
    let warned = try place.runTiny("encode", "texts.png", "a.sci")
    #expect(warned.status == 0 && warned.errors == "texts.png: warning: PNG chunks tEXt and tIME are not kept\n")
    #expect(try place.runTiny("encode", "texts.png", "b.sci", "--strict").status == 65)
    #expect(try place.names().contains("a.sci") && !place.names().contains("b.sci"))
  }

  /// 4:2:0 is coded as it is, and comes back so in a Y4M file.
  @Test func planarPictures() throws {
    let samples = (0..<PixelFormat.yuv420.sampleCount(width: 31, height: 19)).map { UInt8(truncatingIfNeeded: $0 * 3) }
    let picture = try Picture(width: 31, height: 19, format: .yuv420, samples: samples)
    try place.write("a.y4m", Y4M.write(picture))
    #expect(try place.runTiny("encode", "a.y4m", "a.sci", "--lossless").status == 0)
    #expect(try BitstreamHeader(parsing: place.bytes("a.sci")).format == .yuv420)
    #expect(try place.runTiny("decode", "a.sci", "b.y4m").status == 0)
    #expect(try PictureFile.read(place.bytes("b.y4m")).picture == picture)
    #expect(try place.runTiny("decode", "a.sci", "b.png").status == 0)
    #expect(try PNG.read(place.bytes("b.png")) == picture.rgbOrGrey())
    #expect(try place.runTiny("encode", "in.png", "c.sci").status == 0)
    #expect(try place.runTiny("decode", "c.sci", "c.y4m").status == 64)
  }

  // MARK: Several files, safe files

  @Test func foldersOfPictures() throws {
    for i in 0..<5 { try place.write("\(i).png", PNG.write(drawnPicture(width: 20 + i, height: 9, seed: UInt64(i)))) }
    try place.write("3.png", [1, 2, 3])
    try FileManager.default.createDirectory(atPath: place.path("out"), withIntermediateDirectories: true)
    let encoded = try place.runTiny("encode", "0.png", "1.png", "2.png", "3.png", "4.png", "--output-dir", "out", "-j3")
    #expect(
      encoded.status == 65 && encoded.errors.contains("3.png: ") && encoded.errors.contains("1 of 5 files failed"))
    #expect(encoded.text.split(separator: "\n").count == 4)
    #expect(try place.names("out") == ["0.sci", "1.sci", "2.sci", "4.sci"])
    for i in [0, 4] {
      #expect(try place.runTiny("encode", "\(i).png", "one.sci").status == 0)
      #expect(try place.bytes("one.sci") == place.bytes("out/\(i).sci"))
    }
    let decoded = try place.runTiny(
      "decode", "out/0.sci", "out/1.sci", "--output-dir", "out", "--format", "ppm", "--quiet", "-j2")
    #expect(decoded.status == 0 && decoded.text == "" && decoded.errors == "")
    #expect(try place.names("out").isSuperset(of: ["0.ppm", "1.ppm"]))
    try place.write("more/0.png", place.bytes("0.png"))
    #expect(try place.runTiny("encode", "0.png", "more/0.png", "--output-dir", "out").status == 64)
    #expect(try place.runTiny("encode", "0.png", "--output-dir", "absent").status == 74)

    // Subfolders, other endings, and a file that cannot be read.
    try place.write("set/a.png", place.bytes("0.png"))
    try place.write("set/deeper/b.PNG", place.bytes("1.png"))
    try place.write("set/broken.jpg", [0xFF, 0xD8, 1])
    let evaluated = try place.runTiny("eval", "set", "-k0", "--json", "e.json")
    #expect(evaluated.status == 65 && evaluated.text.contains("2 pictures"))
    #expect(evaluated.errors.contains("not read: set/broken.jpg: ") && evaluated.errors.contains("1 of 3 files failed"))
    let pictures = try JSON(parsing: place.bytes("e.json"))["pictures"]?.array?.compactMap { $0["picture"]?.string }
    #expect(pictures == ["a.png", "deeper/b.PNG"])
  }

  @Test func nothingIsDestroyed() throws {
    try place.write("kept.sci", [7])
    try place.write("bad.png", [1, 2, 3])
    #expect(try place.runTiny("encode", "bad.png", "kept.sci").status == 65)
    #expect(try place.bytes("kept.sci") == [7])
    // In a folder that may not be written to work does not begin; root may write anywhere.
    try FileManager.default.createDirectory(atPath: place.path("sealed"), withIntermediateDirectories: true)
    chmod(place.path("sealed"), 0o555)
    defer { chmod(place.path("sealed"), 0o755) }
    if access(place.path("sealed"), W_OK) != 0 {
      #expect(try place.runTiny("encode", "absent.png", "sealed/a.sci").errors.contains("sealed/a.sci: "))
    }
    #expect(try place.runTiny("encode", "absent.png", "absent/a.sci").errors.contains("absent/a.sci: No such file"))
    #expect(try place.runTiny("encode", "in.png", "/dev/full").status == 74)
    // Signals at any moment: the old file or the new one, and no other.
    try place.write("large.ppm", PNM.write(drawnPicture(width: 700, height: 500)))
    #expect(try place.runTiny("encode", "large.ppm", "whole.sci", "-k0").status == 0)
    let whole = try place.bytes("whole.sci")
    for (i, number) in [SIGTERM, SIGINT, SIGKILL, SIGTERM, SIGHUP, SIGKILL].enumerated() {
      let names = try place.kill(number, after: 0.03 * Double(i), "encode", "large.ppm", "kept.sci", "-k0")
      let bytes = try place.bytes("kept.sci")
      #expect(bytes == [7] || bytes == whole)
      if number != SIGKILL {
        #expect(!names.contains { $0.hasSuffix(".part") && $0.hasPrefix("kept") })
      }
      try place.write("kept.sci", [7])
      for name in names where name.hasSuffix(".part") { try FileManager.default.removeItem(atPath: place.path(name)) }
    }
  }

  @Test func shortOptions() throws {
    #expect(try place.runTiny("encode", "in.png", "a.sci", "--quality", "30", "--threads", "2").status == 0)
    #expect(try place.runTiny("encode", "in.png", "-q30", "-vj2", "-ob.sci").status == 0)
    #expect(try place.runTiny("encode", "in.png", "-q=30", "-o=c.sci", "--quiet").text == "")
    #expect(try place.bytes("a.sci") == place.bytes("b.sci") && place.bytes("a.sci") == place.bytes("c.sci"))
    #expect(try place.runTiny("encode", "in.png", "d.sci", "--effort", "2", "-k1").status == 0)
    #expect(try place.runTiny("encode", "in.png", "e.sci", "--rdoq", "quick", "-k1").status == 0)
    #expect(try place.bytes("d.sci") == place.bytes("e.sci"))
    #expect(try place.run("--version").text == "codec-bench \(libraryVersion)\n")
  }

  @Test func everyCommandHasHelp() throws {
    let list = try place.run("--help")
    #expect(list.status == 0 && list.text.contains("Exit codes"))
    for command in CodecBench.commands {
      #expect(list.text.contains(command.name))
      let help = try place.run(command.name, "--help")
      #expect(help.status == 0 && help.text.contains("usage: codec-bench \(command.name)"))
      #expect(command.options.allSatisfy { help.text.contains("--\($0.name)") })
      #expect(try place.run("help", command.name).text == help.text)
    }
  }

  @Test func describesModelsAndBitstreams() throws {
    let model = try Model.embedded()
    let described = try JSON(parsing: place.run("info", "--default-model", "--json").output)
    let last = model.ratePoints.count - 1
    #expect(described["decoder_mac_per_pixel"]?.number == model.decoderMACPerPixel(ratePoint: last))
    #expect(described["encoder_mac_per_pixel"]?.number == model.encoderMACPerPixel(ratePoint: last))
    #expect(described["rate_points"]?.array?.count == model.ratePoints.count)
    try place.write("m.scm", Model.embeddedBytes())
    #expect(try place.run("info", "m.scm").text == place.run("info", "--default-model").text)

    #expect(try place.run("encode", "in.png", "a.sci", "-k", "0", "--model", "m.scm").status == 0)
    let bitstream = try JSON(parsing: place.run("info", "a.sci", "--json").output)
    #expect(bitstream["width"] == 53 && bitstream["height"] == 37 && bitstream["rate_point"] == 0)
    #expect(bitstream["bytes"] == JSON(try place.bytes("a.sci").count))
    #expect(bitstream["model_id"] == .string(hexadecimal(model.shortID)))
    #expect(try place.run("info", "a.sci").text.contains("53x37"))
  }

  @Test func evaluatesComparesAndPlots() throws {
    for (i, name) in ["a.png", "b.png"].enumerated() {
      try place.write("pictures/\(name)", PNG.write(drawnPicture(width: 40 + 9 * i, height: 33, seed: UInt64(i))))
    }
    let table = try place.runTiny(
      "eval", "pictures", "--rate-points", "0,1", "--json", "e.json", "--csv", "e.csv", "--name", "x")
    #expect(table.status == 0 && table.errors == "")
    #expect(table.text.hasPrefix("x, 2 pictures\n") && table.text.split(separator: "\n").count == 4)

    let json = try JSON(parsing: place.bytes("e.json"))
    let pictures = try #require(json["pictures"]?.array)
    let means = try #require(json["rate_points"]?.array)
    #expect(pictures.count == 4 && means.count == 2)
    for mean in means {
      let rates = pictures.filter { $0["rate_point"] == mean["rate_point"] }.compactMap { $0["bpp"]?.number }
      #expect(mean["bpp"]?.number == rates.reduce(0, +) / 2)
    }
    // The numbers are those of files.
    let first = pictures[0]
    #expect(try place.runTiny("encode", "pictures/a.png", "a.sci", "-k", "0").status == 0)
    #expect(first["bytes"] == JSON(try place.bytes("a.sci").count))
    #expect(first["bpp"]?.number == Double(8 * (try place.bytes("a.sci").count)) / Double(40 * 33))

    let fine = try place.runTiny("eval", "pictures", "-q", "0,12.5,12.6,100", "--json", "f.json")
    #expect(fine.status == 0)
    let rates = try JSON(parsing: place.bytes("f.json"))["rate_points"]?.array?.compactMap { $0["rate_point"]?.number }
    #expect(rates == [0, 0.25, 2])

    // JSON and CSV say the same.
    let comparison = try place.run("bdrate", "e.csv", "e.json")
    let zero = "BD-rate of x over x, psnr_rgb: 0.00 %; mean of 2 pictures' own: 0.00 %\n"
    #expect(comparison.status == 0 && comparison.text.hasPrefix(zero))
    try place.write("anchors.csv", Array("codec,bpp,psnr_rgb\nold,0.1,1\nold,40,60\nother,1,1\n".utf8))
    #expect(try place.run("bdrate", "anchors.csv", "e.json").status == 64)
    let result = try place.run("bdrate", "anchors.csv", "e.json", "--anchor-codec", "old", "--json")
    #expect(try JSON(parsing: result.output)["bd_rate_percent"]?.number?.isFinite == true)

    #expect(try place.run("plot", "p.svg", "e.json", "anchors.csv:old=Old & <tired>", "--title", "T").status == 0)
    let svg = String(decoding: try place.bytes("p.svg"), as: UTF8.self)
    #expect(svg.hasPrefix("<svg ") && svg.contains(">Old &amp; &lt;tired&gt;</text>") && svg.hasSuffix("</svg>\n"))
  }
}
