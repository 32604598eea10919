// SPDX-License-Identifier: BSD-3-Clause

import CCodecKernels
import Foundation
import Testing

@testable import SwiftCodec
@testable import SwiftCodecDefaultModel

/// Streams of frames: intra frames of tiny-formats.scm, inter frames of tiny-inter.scm, which reads predicted planes, a
/// state, contexts and the latent before. The two latents differ in size.
@Suite struct VideoTests {
  /// An encoded stream, packet by packet, with the frames that the encoder reconstructs.
  struct Stream {
    var header: [UInt8]
    var packets: [[UInt8]] = []
    var intra: [Bool] = []
    var frames: [Picture] = []
    var end: [UInt8] = []

    var bytes: [UInt8] { header + packets.flatMap { $0 } + end }
  }

  /// How a decoder runs when its encoder had `threads`, 1 or 3: with as many as make 4, and other stripes.
  static func other(_ cpu: CPU, threads: Int) -> Execution {
    var execution = Execution()
    execution.cpu = cpu
    execution.threads = 4 - threads
    execution.stripeRows = threads
    return execution
  }

  static func settings(_ change: (inout VideoSettings) -> Void = { _ in }) -> VideoSettings {
    var settings = VideoSettings()
    settings.detectsScenes = false
    settings.segmentRows = 8
    settings.frameRate = (25, 1)
    change(&settings)
    return settings
  }

  static func encode(
    frames count: Int, width: Int, height: Int, _ settings: VideoSettings
  ) throws -> Stream {
    let encoder = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: width, height: height, settings)
    var stream = Stream(header: encoder.header)
    for t in 0..<count {
      let packet = try encoder.encode(Fixtures.movingFrame(t, width: width, height: height))
      stream.packets.append(packet.bytes)
      stream.intra.append(packet.isIntra)
      stream.frames.append(encoder.reconstruction)
    }
    stream.end = encoder.finish()
    return stream
  }

  static func decoder(_ header: [UInt8], _ execution: Execution = Execution()) throws -> VideoDecoder {
    try VideoDecoder(header: header, intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, execution: execution)
  }

  /// The frames of a file until it ends or its packets cannot be told apart, and the first error. Frames that follow on
  /// damage come after it.
  static func decode(file bytes: [UInt8]) -> (frames: [VideoDecoder.Frame], error: DecodeError?) {
    var frames: [VideoDecoder.Frame] = []
    var error: DecodeError?
    do throws(DecodeError) {
      var offset = 0
      _ = try VideoHeader(parsing: Array(bytes.prefix(VideoHeader.maximumSize)), size: &offset)
      let decoder = try VideoDecoder(
        header: Array(bytes[..<offset]), intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter)
      while offset < bytes.count {
        let prefix = try VideoPacketPrefix(
          parsing: Array(bytes[offset..<min(offset + VideoPacketPrefix.prefixSize, bytes.count)]))
        let end = min(offset + prefix.size, bytes.count)
        do throws(DecodeError) {
          if let frame = try decoder.decode(Array(bytes[offset..<end])) { frames.append(frame) }
        } catch let failure {
          error = error ?? failure
        }
        offset = end
      }
    } catch let failure {
      error = error ?? failure
    }
    return (frames, error)
  }

  /// Every step of Fixtures/models/tiny-inter.txt, which Training/integer.py makes from docs/format/model.md alone.
  @Test func equalsTheSimulator() throws {
    let model = Fixtures.tinyInter
    let (width, height) = (37, 29)
    let lines = try Fixtures.lines("models/tiny-inter.txt")
    #expect(lines.count == model.ratePoints.count + 1)
    let picture = Fixtures.formulaPicture(width: width, height: height, .yuv420)
    let (whole, half) = (
      Fixtures.formulaPicture(width: width, height: height), Fixtures.formulaPicture(width: 19, height: 15)
    )
    var predicted = picture
    predicted.samples =
      Fixtures.channel(1, of: whole) + Fixtures.channel(2, of: half) + Fixtures.channel(0, of: half)
    let layout = LatentLayout(model, width: width, height: height, format: .yuv420, segmentRows: nil)
    /// A tensor of the reference.
    func fill(_ channels: Int, _ width: Int, _ height: Int, _ write: (Int, UnsafeMutablePointer<Int16>) -> Void) {
      var row = [Int16](repeating: 0, count: width * channels)
      for y in 0..<height {
        for x in 0..<width {
          for c in 0..<channels {
            row[x * channels + c] = Int16((37 * x + 59 * y + 83 * c + 7 * x * y) % 257 - 128)
          }
        }
        row.withUnsafeMutableBufferPointer { write(y, $0.baseAddress!) }
      }
    }
    for line in lines {
      let k = try NetworkTests.position(line[0])
      for cpu in CPU.available {
        var execution = Execution()
        execution.cpu = cpu
        execution.threads = 2
        var prepared = PreparedModel(model)
        let channels = model.latentChannels(at: k)
        #expect([channels, layout.height, layout.width].map(String.init) == Array(line[1...3]))
        var inputs = ReferenceInputs()
        let before = Latent(layout: layout, channels: channels)
        fill(channels, layout.width, layout.height) { before.write(row: $0, $1) }
        inputs.latent = before
        let synthesis = prepared.program(.synthesis, .yuv420, at: k, cpu: cpu)
        func planes(_ program: NetworkProgram) -> [TensorPlane] {
          program.outputs.map {
            let tensor = program.tensors[$0.tensor]
            return TensorPlane(
              width: layout.paddedWidth / tensor.divisor, height: layout.paddedHeight / tensor.divisor,
              channels: tensor.channels)
          }
        }
        let outputs = planes(synthesis)
        let state = outputs[2]
        let stateBefore = TensorPlane(width: state.width, height: state.height, channels: state.channels)
        fill(state.channels, state.width, state.height) { stateBefore.write(row: $0, $1) }
        inputs.states = [stateBefore]
        let context = prepared.program(.context, .yuv420, at: k, cpu: cpu)
        let contexts = planes(context)
        var decoded = picture
        var found: [String] = []
        predicted.withView { view in
          inputs.predicted = view
          let known = inputs
          context.run(
            width: layout.paddedWidth, height: layout.paddedHeight, execution,
            source: { input, y, row in
              known.load(
                context.inputs[input], row: y, row, width: layout.paddedWidth / context.tensors[input].divisor)
            },
            sink: { output, y, row in contexts[output].write(row: y, row) })
          inputs.contexts = contexts
          found += contexts.map(Self.hash)
          // As the simulator continues frames: an encoder may do otherwise.
          let latent = Latent(layout: layout, channels: channels)
          let analysis = prepared.program(.analysis, .yuv420, at: k, cpu: cpu)
          picture.withView { view in
            analysis.run(
              width: layout.paddedWidth, height: layout.paddedHeight, execution,
              source: { [inputs] input, y, row in
                let (port, tensor) = (analysis.inputs[input], analysis.tensors[input])
                let width = layout.paddedWidth / tensor.divisor
                switch port.name {
                case .luma: view.load(view.first, row: y, row, paddedWidth: width)
                case .chroma: view.load(view.chroma, row: y, row, paddedWidth: width)
                default: inputs.load(port, row: y, row, width: width)
                }
              },
              sink: { _, y, row in latent.write(row: y, row) })
          }
          let values = UnsafeBufferPointer(start: latent.segments[0].base, count: latent.segments[0].count)
          #expect([values.min(), values.max()].map { String($0 ?? 0) } == Array(line[4...5]))
          found.append(NetworkTests.hash(latent))
          let (hyper, codec) = (
            prepared.hyperLatent(of: latent, at: k, execution), prepared.segmentCodec(.static, at: k, cpu: cpu)
          )
          guard let hyper, let codec else { return }
          found.append(NetworkTests.hash(hyper))
          let quantised = codec.quantise(
            segment: 0, latent, hyperLatent: hyper.segments[0].base, reference: inputs, execution)
          let places = layout.width * layout.height
          found.append(HyperpriorTests.hash(quantised.symbols.base, places: places, channels))
          if let prior = quantised.prior {
            found.append(HyperpriorTests.hash(prior.scales.base, places: places, channels))
          }
          found.append(NetworkTests.hash(latent))
          synthesis.run(
            width: layout.paddedWidth, height: layout.paddedHeight, execution,
            source: { [inputs] in synthesis.loadSynthesisInput($0, $1, $2, latent, inputs) },
            sink: { output, y, row in outputs[output].write(row: y, row) })
          found += outputs.map(Self.hash)
          let next = TensorPlane(width: state.width, height: state.height, channels: state.channels)
          decoded.withMutableView {
            synthesis.synthesise(latent, into: $0, reference: inputs, states: [next], execution)
          }
          #expect(Self.hash(next) == Self.hash(state))
        }
        found += Fixtures.planeHashes(decoded)
        #expect(found == Array(line[6...]), "position \(line[0]), \(cpu.name)")
      }
    }
  }

  private static func hash(_ plane: TensorPlane) -> String {
    var bytes = ByteWriter()
    for y in 0..<plane.height { for i in 0..<(plane.width * plane.channels) { bytes.i16(plane.row(y)[i]) } }
    return Fixtures.hash(bytes.bytes)
  }

  /// Twelve frames: the decoder has the encoder's frames, whatever variant and however many threads each of them uses, and
  /// the stream is the same.
  @Test(arguments: [(1, 1), (3, 5), (17, 33), (48, 40)])
  func decoderFollowsTheEncoder(_ width: Int, _ height: Int) throws {
    var first: [UInt8]?
    for cpu in CPU.available {
      for threads in [1, 3] {
        let stream = try Self.encode(
          frames: 12, width: width, height: height,
          Self.settings {
            $0.intraPeriod = 7
            $0.execution.cpu = cpu
            $0.execution.threads = threads
          })
        #expect(stream.intra == (0..<12).map { $0 % 7 == 0 })
        #expect(stream.bytes == first ?? stream.bytes, "\(cpu.name), \(threads) threads: another stream")
        first = stream.bytes
        let decoder = try Self.decoder(stream.header, Self.other(cpu, threads: threads))
        for (t, packet) in stream.packets.enumerated() {
          let frame = try #require(try decoder.decode(packet))
          #expect(frame.number == t && frame.isIntra == stream.intra[t])
          #expect(frame.picture == stream.frames[t], "frame \(t), \(width)×\(height), \(cpu.name), \(threads) threads")
        }
        #expect(try decoder.decode(Array(stream.end.prefix(VideoPacketPrefix(parsing: stream.end).size))) == nil)
      }
    }
  }

  /// Whatever the number of threads on both sides, the decoder has the encoder's reference after every one of 300 frames.
  @Test func threeHundredFramesWithoutDrift() throws {
    let (width, height) = (40, 72)
    let settings = [1, 4].map { threads in Self.settings { $0.execution.threads = threads } }
    let encoders = try settings.map {
      try VideoEncoder(intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: width, height: height, $0)
    }
    let decoders = try [2, 1, 5].map { threads in
      var execution = Execution()
      execution.threads = threads
      return try Self.decoder(encoders[0].header, execution)
    }
    var inter = 0
    for t in 0..<300 {
      // There and back again: content that the frames before have shown, and noise that they have not.
      let frame = Fixtures.movingFrame(t % 40 < 20 ? t % 40 : 40 - t % 40, width: width, height: height)
      let packets = try encoders.map { try $0.encode(frame) }
      #expect(packets[0].bytes == packets[1].bytes, "frame \(t): the packet depends on threads")
      if !packets[0].isIntra { inter += 1 }
      for decoder in decoders {
        let decoded = try #require(try decoder.decode(packets[0].bytes))
        #expect(decoded.number == t && decoded.picture == encoders[0].reconstruction, "frame \(t)")
      }
    }
    #expect(inter == 299)
  }

  /// Inter frames bring filters of their own, which decoders then have, and forget at the next intra frame.
  @Test func filtersGoOnFromFrameToFrame() throws {
    let (intra, inter) = (Fixtures.embedded, try Model.embeddedInter())
    let scene = Fixtures.yuv420(try Fixtures.picture("scene"))
    // It comes into focus: the frame before is a soft prediction, which a filter sharpens.
    let frames = (0..<8).map { t in
      var frame = scene.cropped(to: PictureRegion(x: 0, y: 0, width: 160, height: 128))
      guard t % 4 < 2 else { return frame }
      let luma = Array(frame.samples[..<(160 * 128)])
      for i in 3..<(luma.count - 3) { frame.samples[i] = UInt8(luma[(i - 3)...(i + 3)].reduce(0) { $0 + Int($1) } / 7) }
      return frame
    }
    var (changed, forgotten) = (0, 0)
    for quality in [10.0, 60, 90] {
      let settings = Self.settings {
        $0.rate = .quality(quality)
        $0.intraPeriod = 5
        $0.intraRDOQ = .off
      }
      let encoder = try VideoEncoder(intra: intra, inter: inter, width: 160, height: 128, settings)
      let decoder = try VideoDecoder(header: encoder.header, intra: intra, inter: inter)
      for (t, original) in frames.enumerated() {
        let before = encoder.state.filter
        let packet = try encoder.encode(original)
        let frame = try #require(try decoder.decode(packet.bytes))
        #expect(frame.picture == encoder.reconstruction, "quality \(quality), frame \(t)")
        #expect(decoder.state.filter == encoder.state.filter, "quality \(quality), frame \(t)")
        if encoder.state.filter != before {
          if packet.isIntra { forgotten += t > 0 ? 1 : 0 } else { changed += 1 }
        }
      }
    }
    #expect(changed > 0 && forgotten > 0, "\(changed), \(forgotten)")
  }

  /// Once all qualities of the pattern have come, frames take the memory of those before.
  @Test func framesUseMemoryAgain() throws {
    let (width, height) = (48, 80)
    let encoder = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: width, height: height, Self.settings())
    let decoder = try Self.decoder(encoder.header)
    var blocks: (encoder: Int, decoder: Int) = (0, 0)
    for t in 0..<16 {
      // The same few bytes every time, so that no payload is longer than those before.
      let packet = try encoder.encode(Fixtures.movingFrame(t % 2, width: width, height: height))
      _ = try decoder.decode(packet.bytes)
      if t == 8 { blocks = (encoder.state.pool.allocations, decoder.state.pool.allocations) }
    }
    #expect(blocks.encoder > 0 && blocks.decoder > 0)
    #expect(encoder.state.pool.allocations <= blocks.encoder + 1)
    #expect(decoder.state.pool.allocations <= blocks.decoder + 1)
  }

  /// Settings that change what is coded, but not that it decodes.
  @Test func everySettingDecodes() throws {
    let all: [(inout VideoSettings) -> Void] = [
      { $0.segmentRows = 0 }, { $0.rdoq = .fast }, { $0.motionEffort = 0 }, { $0.motionEffort = 2 },
      { $0.rate = .quality(0) }, { $0.rate = .quality(100) }, { $0.rate = .quality(61) },
      { $0.rate = .bitrate(60_000) }, { $0.detectsScenes = true }, { $0.colour = .bt709 }, { $0.frameRate = (0, 1) },
    ]
    for (i, change) in all.enumerated() {
      let stream = try Self.encode(frames: 5, width: 40, height: 36, Self.settings(change))
      let (frames, error) = Self.decode(file: stream.bytes)
      #expect(error == nil && frames.map(\.picture) == stream.frames, "setting \(i)")
    }
  }

  /// Frames that hardly change take fewer bytes than the first one.
  @Test func vectorsAreFound() throws {
    let encoder = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: 64, height: 64, Self.settings())
    _ = try encoder.encode(Fixtures.movingFrame(0, width: 64, height: 64))
    let still = try encoder.encode(encoder.reconstruction)
    let moved = try encoder.encode(Fixtures.movingFrame(9, width: 64, height: 64))
    #expect(!still.isIntra && !moved.isIntra && still.bytes != moved.bytes)
  }

  /// Numbers of frames that have only the lowest bits of theirs: the nearest to the expected one, and none below 0.
  @Test func numbersOfPredictedFrames() throws {
    for (low, next, number) in [
      (0, 0, 0), (40, 0, 40), (63, 0, 63), (2, 63, 66), (63, 64, 63), (40, 100, 104), (1, 95, 65),
    ] {
      let packet = [128 + UInt8(low), 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]
      let prefix = try VideoPacketPrefix(parsing: packet)
      #expect(try VideoFrame(parsing: packet, prefix, at: 0, segmentCount: 1, next: next).number == number)
    }
  }

  /// A decoder that begins in the middle refuses frames until one that needs no other.
  @Test func joinsAtAnIntraFrame() throws {
    let stream = try Self.encode(frames: 9, width: 33, height: 17, Self.settings { $0.intraPeriod = 4 })
    for start in 1..<9 {
      let decoder = try Self.decoder(stream.header)
      for t in start..<9 {
        if t < (start + 3) / 4 * 4 {
          #expect(throws: DecodeError.missingReference(frame: t)) { try decoder.decode(stream.packets[t]) }
        } else {
          #expect(try decoder.decode(stream.packets[t])?.picture == stream.frames[t], "frame \(t) from \(start) on")
        }
      }
    }
  }

  /// More frames than the heads of packets count, in small packets and others; one that is lost is named.
  @Test func headsOfPredictedFrames() throws {
    let stream = try Self.encode(
      frames: 72, width: 40, height: 32,
      Self.settings {
        $0.rate = .quality(60)
        $0.pattern = [40, -60, 40, -60]
      })
    let sizes = try stream.packets.map { try VideoPacketPrefix(parsing: $0) }
    #expect(sizes.dropFirst().allSatisfy { $0.headSize <= 3 && $0.isIntra == false })
    #expect(sizes.contains { $0.isSmall && $0.checksumSize == 2 } && sizes.dropFirst().contains { !$0.isSmall })
    #expect(zip(sizes, stream.packets).allSatisfy { $0.size == $1.count })
    for lost in [nil, 3, 65] {
      let decoder = try Self.decoder(stream.header)
      for (t, packet) in stream.packets.enumerated() where t != lost {
        if t == (lost ?? -2) + 1 {
          #expect(throws: DecodeError.frameNumber(t, expected: t - 1)) { try decoder.decode(packet) }
          break
        }
        let frame = try #require(try decoder.decode(packet))
        #expect(frame.number == t && frame.picture == stream.frames[t])
      }
    }
    // Written out, their tag is unknown.
    #expect(throws: DecodeError.unknownBox(.interFrame)) {
      try VideoPacketPrefix(parsing: Array("PRED".utf8) + [1, 0, 0, 0, 0, 0])
    }
  }

  /// One lane takes longer, and its work is counted so.
  @Test func workOfSmallPackets() throws {
    let stream = try Self.encode(frames: 2, width: 40, height: 32, Self.settings { $0.rate = .quality(0) })
    #expect(try VideoPacketPrefix(parsing: stream.packets[1]).isSmall)
    let decoder = try Self.decoder(stream.header)
    _ = try decoder.decode(stream.packets[0])
    let position = Fixtures.tinyInter.position(quality: 8)
    let cost = try #require(decoder.state.cost(isIntra: false, at: position))
    let layout = decoder.state.layout(isIntra: false)
    let (four, one) = (SC_RANS_LANES, Int32(1))
    func work(_ lanes: Int32) -> Double {
      cost.preparation
        + cost.work(Fixtures.tinyInter, width: layout.paddedWidth, height: layout.paddedHeight, lanes: lanes)
    }
    decoder.limits.work = work(four)
    #expect(throws: DecodeError.work(needed: work(one), limit: work(four))) { try decoder.decode(stream.packets[1]) }
    decoder.limits.work = work(one)
    _ = try decoder.decode(stream.packets[0])
    #expect(try decoder.decode(stream.packets[1])?.picture == stream.frames[1])
  }

  /// One lane is slow: frames of many pixels must not ask for it.
  @Test func smallPacketsOfLargeFrames() throws {
    let (width, height) = (1040, 1024)
    let stream = try Self.encode(frames: 2, width: width, height: height, Self.settings { $0.segmentRows = 0 })
    #expect(try !VideoPacketPrefix(parsing: stream.packets[1]).isSmall)
    var packet = stream.packets[1]
    packet[0] |= VideoPacketPrefix.smallFlag
    packet.removeLast(2)
    try VideoPacketPrefix(parsing: packet).seal(&packet, seed: VideoPacketWriter.seed(stream.header))
    let decoder = try Self.decoder(stream.header)
    _ = try decoder.decode(stream.packets[0])
    #expect(throws: DecodeError.tooLarge(width: width, height: height, limit: VideoPacketPrefix.mostSmallPixels)) {
      try decoder.decode(packet)
    }
  }

  /// A frame that is lost: the next ones are refused up to the next intra frame. A frame twice as well.
  @Test func lostAndRepeatedFrames() throws {
    let stream = try Self.encode(frames: 8, width: 20, height: 20, Self.settings { $0.intraPeriod = 4 })
    var decoder = try Self.decoder(stream.header)
    _ = try decoder.decode(stream.packets[0])
    #expect(throws: DecodeError.frameNumber(2, expected: 1)) { try decoder.decode(stream.packets[2]) }
    #expect(throws: DecodeError.missingReference(frame: 1)) { try decoder.decode(stream.packets[1]) }
    for t in 4..<8 { #expect(try decoder.decode(stream.packets[t])?.picture == stream.frames[t]) }
    #expect(throws: DecodeError.frameNumber(7, expected: 8)) { try decoder.decode(stream.packets[7]) }
    // Packets of another stream.
    let other = try Self.encode(frames: 1, width: 20, height: 19, Self.settings())
    decoder = try Self.decoder(other.header)
    #expect(throws: DecodeError.checksum(part: 1)) { try decoder.decode(stream.packets[0]) }
  }

  static func small() throws -> Stream {
    try encode(
      frames: 4, width: 11, height: 9,
      settings {
        $0.intraPeriod = 3
        $0.rate = .quality(20)
      })
  }

  /// Which frames come out of a damaged file: right ones alone, and all those before the damage.
  static func check(_ damaged: [UInt8], _ stream: Stream, damageAt offset: Int, _ note: String) {
    let (frames, error) = decode(file: damaged)
    for frame in frames {
      let isRight = stream.frames.indices.contains(frame.number) && frame.picture == stream.frames[frame.number]
      #expect(isRight, "\(note): frame \(frame.number)")
    }
    var whole = 0
    var end = stream.header.count
    while whole < stream.packets.count, end + stream.packets[whole].count <= offset {
      end += stream.packets[whole].count
      whole += 1
    }
    #expect(frames.prefix(whole).map(\.number) == Array(0..<whole), "\(note): frames before the damage")
    // Nothing is found in the index and the end but by a reader of these.
    if offset < end + (whole < stream.packets.count ? 1 : 0) || whole < stream.packets.count {
      #expect(error != nil || damaged.count < stream.bytes.count, "\(note): no error")
    }
  }

  @Test func everyTruncation() throws {
    let stream = try Self.small()
    let bytes = stream.bytes
    #expect(Self.decode(file: bytes).frames.map(\.picture) == stream.frames)
    for count in 0..<bytes.count {
      Self.check(Array(bytes[..<count]), stream, damageAt: count, "\(count) of \(bytes.count) bytes")
    }
  }

  @Test func everyBitFlip() throws {
    let stream = try Self.small()
    for bit in 0..<(8 * stream.bytes.count) {
      var bytes = stream.bytes
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      Self.check(bytes, stream, damageAt: bit / 8, "bit \(bit)")
    }
  }

  /// Flips behind which the checksum is right again: the coders of vectors and latents see the damage. A frame or an error;
  /// and the decoder goes on at the next intra frame as if nothing had been.
  @Test func everyBitFlipWithChecksums() throws {
    let stream = try Self.small()
    let seed = VideoPacketWriter.seed(stream.header)
    var accepted = 0
    var tried = 0
    for (t, packet) in stream.packets.enumerated().prefix(3) {
      let prefix = try VideoPacketPrefix(parsing: packet)
      for bit in (8 * prefix.headSize)..<(8 * (packet.count - prefix.checksumSize)) {
        var damaged = packet
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        prefix.seal(&damaged, seed: seed)
        let decoder = try Self.decoder(stream.header)
        for before in stream.packets[..<t] { _ = try decoder.decode(before) }
        tried += 1
        do throws(DecodeError) {
          _ = try decoder.decode(damaged)
          accepted += 1
        } catch {
          #expect(!error.description.isEmpty)
        }
        #expect(try decoder.decode(stream.packets[3])?.picture == stream.frames[3], "frame \(t), bit \(bit)")
      }
    }
    #expect(tried > 1000 && accepted < tried / 4, "\(accepted) of \(tried)")
  }

  @Test func randomPackets() throws {
    var random = SplitMix.test(61)
    let stream = try Self.small()
    let seed = VideoPacketWriter.seed(stream.header)
    let decoder = try Self.decoder(stream.header)
    for round in cases(1000, long: 40000) {
      _ = try decoder.decode(stream.packets[0])
      var writer = ByteWriter()
      let heads = ["INTR", "PRED", "INTL", "PREL", "indx", "END ", "zzzz", "ZZZZ"].map { Array($0.utf8) }
      let isShort = random.below(2) == 0
      writer.append(isShort ? [UInt8(128 + random.pick([1, 65, random.below(128)]))] : random.pick(heads))
      let payload = (0..<random.below(60)).map { _ in UInt8(random.below(256)) }
      let excess = random.below(8) == 0 ? random.below(1 << 31) : 0
      writer.varint(payload.count + excess)
      // Half of them with the number, where it stands there, and a position that are due.
      let start = (isShort ? [] : [1]) + [UInt8(random.below(64))]
      writer.append(random.below(2) == 0 && payload.count > 2 ? start + payload.dropFirst(start.count) : payload)
      var bytes = writer.bytes + [0, 0, 0, 0]
      if excess == 0, let prefix = try? VideoPacketPrefix(parsing: bytes) {
        bytes.removeLast(4 - prefix.checksumSize)
        prefix.seal(&bytes, seed: seed)
      }
      do throws(DecodeError) { _ = try decoder.decode(bytes) } catch {
        #expect(!error.description.isEmpty, "round \(round)")
      }
    }
    #expect(try decoder.decode(stream.packets[0])?.picture == stream.frames[0])
  }

  @Test func headersKeepTheirFields() throws {
    var random = SplitMix.test(62)
    for _ in 0..<200 {
      let header = VideoHeader(
        intraModelID: UInt32(truncatingIfNeeded: random.next()),
        interModelID: random.below(2) == 0 ? nil : UInt32(truncatingIfNeeded: random.next()),
        entropy: random.pick(EntropyKind.allCases), format: random.pick(PixelFormat.allCases),
        width: random.int(1...65535), height: random.int(1...65535),
        rate: (random.below(1 << 31), random.int(1...(1 << 31 - 1))), colour: random.pick([.unspecified, .bt709]),
        segmentRows: 8 * random.below(256))
      let bytes = header.serialised()
      #expect(bytes.count <= VideoHeader.maximumSize)
      var size = 0
      #expect(try VideoHeader(parsing: bytes + [1, 2, 3], size: &size) == header && size == bytes.count)
      for count in 0..<bytes.count {
        #expect(throws: DecodeError.self) { try VideoHeader(parsing: Array(bytes[..<count]), size: &size) }
      }
    }
  }

  /// Right headers of frames that nobody should allocate memory for.
  @Test func hugeFrames() {
    for (width, height) in [(65535, 65535), (65535, 1025)] {
      let header = VideoHeader(
        intraModelID: Fixtures.tinyFormats.shortID, interModelID: Fixtures.tinyInter.shortID, entropy: .static,
        format: .yuv420, width: width, height: height, rate: (25, 1), colour: .unspecified, segmentRows: 8)
      #expect(throws: DecodeError.tooLarge(width: width, height: height, limit: VideoDecoder.maximumPixels)) {
        try Self.decoder(header.serialised())
      }
    }
  }

  @Test func wrongModelsAndSettingsAreRefused() throws {
    let stream = try Self.small()
    let (intra, inter) = (Fixtures.tinyFormats, Fixtures.tinyInter)
    #expect(throws: DecodeError.model(wanted: intra.shortID, loaded: Fixtures.tiny.shortID)) {
      try VideoDecoder(header: stream.header, intra: Fixtures.tiny, inter: inter)
    }
    #expect(throws: DecodeError.model(wanted: inter.shortID, loaded: 0)) {
      try VideoDecoder(header: stream.header, intra: intra, inter: nil)
    }
    #expect(throws: EncodeError.self) {
      try VideoEncoder(intra: Fixtures.tiny, inter: inter, width: 8, height: 8, Self.settings())
    }
    #expect(throws: EncodeError.self) {
      try VideoEncoder(intra: intra, inter: intra, width: 8, height: 8, Self.settings())
    }
    #expect(throws: EncodeError.segmentRows(12)) {
      try VideoEncoder(intra: intra, inter: inter, width: 8, height: 8, Self.settings { $0.segmentRows = 12 })
    }
    #expect(throws: EncodeError.size(width: 0, height: 8)) {
      try VideoEncoder(intra: intra, inter: inter, width: 0, height: 8, Self.settings())
    }
    let encoder = try VideoEncoder(intra: intra, inter: inter, width: 8, height: 8, Self.settings())
    #expect(throws: EncodeError.size(width: 8, height: 9)) {
      try encoder.encode(Fixtures.movingFrame(0, width: 8, height: 9))
    }
    #expect(throws: EncodeError.format(.rgb)) { try encoder.encode(Fixtures.formulaPicture(width: 8, height: 8)) }
  }

  /// A stream without inter frames needs no model for them.
  @Test func intraFramesAlone() throws {
    let encoder = try VideoEncoder(
      intra: Fixtures.tinyFormats, inter: nil, width: 20, height: 12, Self.settings())
    let decoder = try VideoDecoder(header: encoder.header, intra: Fixtures.tinyFormats, inter: nil)
    for t in 0..<3 {
      let packet = try encoder.encode(Fixtures.movingFrame(t, width: 20, height: 12))
      #expect(packet.isIntra)
      #expect(try decoder.decode(packet.bytes)?.picture == encoder.reconstruction)
    }
  }
}
