// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import SwiftCodec

/// Streams whose frames residual layers have: no sample is off by more than was asked for, and decoders have the encoder's
/// frames.
@Suite struct VideoLayerTests {
  private typealias Stream = VideoTests.Stream

  private static func bounded(_ error: Int, _ change: (inout VideoSettings) -> Void = { _ in }) -> VideoSettings {
    VideoTests.settings {
      $0.rate = .maximumError(error)
      change(&$0)
    }
  }

  private static func worst(_ a: Picture, _ b: Picture) -> Int {
    zip(a.samples, b.samples).reduce(0) { max($0, abs(Int($1.0) - Int($1.1))) }
  }

  @Test(arguments: [0, 1, 4, 15], [(1, 1), (3, 5), (37, 29), (80, 70)])
  func errorsAreBounded(_ error: Int, _ size: (Int, Int)) throws {
    let (width, height) = size
    var first: [UInt8]?
    for threads in [1, 3] {
      let stream = try VideoTests.encode(
        frames: 6, width: width, height: height,
        Self.bounded(error) {
          $0.intraPeriod = 4
          $0.execution.threads = threads
        })
      #expect(stream.intra == [true, false, false, false, true, false])
      #expect(stream.bytes == first ?? stream.bytes)
      first = stream.bytes
      let decoder = try VideoTests.decoder(stream.header, VideoTests.other(CPU.available[0], threads: threads))
      for (t, packet) in stream.packets.enumerated() {
        let frame = try #require(try decoder.decode(packet))
        #expect(frame.number == t && frame.isIntra == stream.intra[t] && frame.position == nil)
        #expect(frame.picture == stream.frames[t], "frame \(t)")
        #expect(Self.worst(frame.picture, Fixtures.movingFrame(t, width: width, height: height)) <= error)
      }
    }
  }

  /// What stands still or moves as a whole takes next to nothing; what does not is an intra frame where scenes are found.
  @Test func stillPartsAreFree() throws {
    let (width, height) = (96, 80)
    let encoder = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: width, height: height,
      Self.bounded(0) { $0.detectsScenes = true })
    let decoder = try VideoTests.decoder(encoder.header)
    var random = SplitMix.test(70)
    func noise() -> Picture {
      let count = PixelFormat.yuv420.sampleCount(width: width, height: height)
      return Picture(unchecked: width, height, .yuv420, (0..<count).map { _ in UInt8(random.below(256)) })
    }
    let start = noise()
    var changed = start
    for x in 0..<5 { changed.samples[40 * width + 30 + x] ^= 255 }
    let ramp = Picture(
      unchecked: width, height, .yuv420, start.samples.indices.map { UInt8($0 % width + $0 / width) })
    let frames = [start, start, changed, ramp]
    var packets: [VideoEncoder.Packet] = []
    for frame in frames {
      packets.append(try encoder.encode(frame))
      #expect(try decoder.decode(packets[packets.count - 1].bytes)?.picture == frame)
    }
    #expect(packets.map(\.isIntra) == [true, false, false, true])
    #expect(packets[1].bytes.count < 64)
    #expect(packets[2].bytes.count < 64 + 384, "a block of noise")
  }

  /// A page, which patterns suit and which nothing but its mask makes cheap when it stands still.
  @Test func stillPages() throws {
    let (width, height) = (160, 128)
    let luma = (0..<width * height).map { i in
      let (x, y) = (i % width, i / width)
      let letter = (x / 7 * 5 + y / 11 * 3) % 4
      return letter > 0 && y % 11 < 8 && (x % 7 < 2 || (y % 11) / 2 == letter) ? UInt8(20) : 255
    }
    let page = Picture(
      unchecked: width, height, .yuv420, luma + [UInt8](repeating: 128, count: width * height / 2))
    let encoder = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: width, height: height, Self.bounded(0))
    let decoder = try VideoTests.decoder(encoder.header)
    let sizes = try (0..<2).map { _ in
      let packet = try encoder.encode(page)
      #expect(try decoder.decode(packet.bytes)?.picture == page)
      return packet.bytes.count
    }
    #expect(sizes[0] > 200 && 4 * sizes[1] < sizes[0], "\(sizes)")
  }

  /// The mean of two noisy frames is nearer to a third than either: blocks take two predictions as soon as two frames are there.
  @Test func secondPredictions() throws {
    let (width, height) = (70, 50)
    var random = SplitMix(7)
    let still = Fixtures.movingFrame(0, width: width, height: height)
    for threads in [1, 3] {
      let encoder = try VideoEncoder(
        intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: width, height: height,
        Self.bounded(0) {
          $0.intraPeriod = 5
          $0.execution.threads = threads
        })
      let decoder = try VideoTests.decoder(encoder.header, VideoTests.other(CPU.available[0], threads: threads))
      for t in 0..<8 {
        var frame = still
        for i in frame.samples.indices {
          frame.samples[i] = UInt8(min(max(Int(frame.samples[i]) + random.int(-9...9), 0), 255))
        }
        let packet = try encoder.encode(frame)
        #expect(packet.isIntra == (t % 5 == 0))
        #expect(try decoder.decode(packet.bytes)?.picture == frame)
        if t % 5 > 1 {
          let flags = try #require(decoder.state.second.flags)
          let count = (0..<(flags.blocksX * flags.blocksY)).reduce(0) { $0 + Int(flags.base[$1]) }
          #expect(flags.isUsed && 2 * count > flags.blocksX * flags.blocksY, "\(count)")
        }
      }
    }
  }

  /// Models without motion, and none for inter frames: every frame is one that needs no other.
  @Test func withoutVectors() throws {
    let encoder = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: nil, width: 20, height: 12, Self.bounded(2))
    let decoder = try VideoDecoder(header: encoder.header, intra: Fixtures.tinyFormats, inter: nil)
    for t in 0..<3 {
      let frame = Fixtures.movingFrame(t, width: 20, height: 12)
      let packet = try encoder.encode(frame)
      #expect(packet.isIntra && packet.position == nil)
      let decoded = try #require(try decoder.decode(packet.bytes))
      #expect(Self.worst(decoded.picture, frame) <= 2 && decoded.picture == encoder.reconstruction)
    }
  }

  /// A frame of networks after one of a layer: both sides take what no network has left for zero.
  @Test func framesOfBothKinds() throws {
    let (width, height) = (40, 36)
    for threads in [1, 3] {
      let encoder = try VideoEncoder(
        intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: width, height: height,
        VideoTests.settings { $0.execution.threads = threads })
      let decoder = try VideoTests.decoder(encoder.header, VideoTests.other(CPU.available[0], threads: threads))
      for t in 0..<3 {
        let packet = try encoder.encode(Fixtures.movingFrame(2 * t, width: width, height: height))
        #expect(try decoder.decode(packet.bytes)?.picture == encoder.reconstruction)
        // What a layer makes of the frame between.
        for state in [encoder.state, decoder.state] {
          state.finish(Fixtures.movingFrame(2 * t + 1, width: width, height: height), isIntra: t == 1)
        }
      }
    }
  }

  @Test func joinsAndErrors() throws {
    let stream = try VideoTests.encode(frames: 6, width: 33, height: 17, Self.bounded(0) { $0.intraPeriod = 3 })
    let decoder = try VideoTests.decoder(stream.header)
    #expect(throws: DecodeError.missingReference(frame: 1)) { try decoder.decode(stream.packets[1]) }
    for t in 3..<5 { #expect(try decoder.decode(stream.packets[t])?.picture == stream.frames[t]) }
    #expect(throws: DecodeError.frameNumber(4, expected: 5)) { try decoder.decode(stream.packets[4]) }
    decoder.limits.pixels = 33 * 16
    #expect(throws: DecodeError.tooLarge(width: 33, height: 17, limit: 33 * 16)) {
      try decoder.decode(stream.packets[3])
    }
    decoder.limits = Limits()
    decoder.limits.memory = 1000
    #expect(throws: DecodeError.self) { try decoder.decode(stream.packets[3]) }
    decoder.limits = Limits()
    decoder.limits.work = 1e5
    #expect(throws: DecodeError.self) { try decoder.decode(stream.packets[3]) }
    decoder.limits = Limits()
    #expect(try decoder.decode(stream.packets[3])?.picture == stream.frames[3])
    // Frames that stand on vectors, in a stream that has no model for them.
    let alone = try VideoEncoder(intra: Fixtures.tinyFormats, inter: nil, width: 33, height: 17, Self.bounded(0))
    let intra = try VideoDecoder(header: alone.header, intra: Fixtures.tinyFormats, inter: nil)
    let first = try alone.encode(Fixtures.movingFrame(0, width: 33, height: 17))
    _ = try intra.decode(first.bytes)
    #expect(throws: DecodeError.missingReference(frame: 1)) {
      try intra.decode(Self.sealed(stream.packets[1], VideoPacketWriter.seed(alone.header)))
    }
    for error in [-1, 16] {
      #expect(throws: EncodeError.maximumError(error)) {
        try VideoEncoder(
          intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: 8, height: 8, Self.bounded(error))
      }
    }
  }

  private static func sealed(_ packet: [UInt8], _ seed: UInt32) -> [UInt8] {
    var out = ByteWriter()
    out.append(Array(packet.dropLast(4)))
    out.u32(crc32c(out.bytes, in: 0..<out.bytes.count, continuing: seed))
    return out.bytes
  }

  /// Every byte of a packet changed, its checksum mended: an error or a frame, and the next intra frame is right.
  @Test func mutationsNeverTrap() throws {
    var random = SplitMix.test(71)
    let stream = try VideoTests.encode(frames: 4, width: 21, height: 19, Self.bounded(1) { $0.intraPeriod = 3 })
    let seed = VideoPacketWriter.seed(stream.header)
    var accepted = 0
    var tried = 0
    for t in 0..<2 {
      for place in 0..<(stream.packets[t].count - 4) {
        var packet = stream.packets[t]
        packet[place] = UInt8(random.below(256))
        let decoder = try VideoTests.decoder(stream.header)
        for before in stream.packets[..<t] { _ = try decoder.decode(before) }
        tried += 1
        do throws(DecodeError) {
          _ = try decoder.decode(Self.sealed(packet, seed))
          accepted += 1
        } catch {
          #expect(!error.description.isEmpty)
        }
        #expect(try decoder.decode(stream.packets[3])?.picture == stream.frames[3])
      }
      for count in 5..<stream.packets[t].count {
        let decoder = try VideoTests.decoder(stream.header)
        for before in stream.packets[..<t] { _ = try decoder.decode(before) }
        #expect(throws: DecodeError.self) { try decoder.decode(Array(stream.packets[t][..<count])) }
      }
    }
    #expect(tried > 500 && accepted < tried / 8, "\(accepted) of \(tried)")
  }
}
