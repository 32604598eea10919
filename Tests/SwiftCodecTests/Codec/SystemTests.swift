// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import SwiftCodec

/// Video codecs of papers as model files without motion, small and with random weights: tiny-stem reads the latent before
/// as a state that intra frames leave behind, too; tiny-slimvc reads it as it is, in networks of three widths with a
/// hyperprior; tiny-flag reads the decoded frame before as states.
@Suite struct SystemTests {
  static let names = ["stem", "slimvc", "flag"]

  static func models(_ system: String) throws -> (intra: Model, inter: Model) {
    (
      try Model(try Fixtures.bytes("models/tiny-\(system)-intra.scm")),
      try Model(try Fixtures.bytes("models/tiny-\(system)-inter.scm"))
    )
  }

  static func encode(
    _ system: String, frames: [Picture], _ settings: VideoSettings
  ) throws -> VideoTests.Stream {
    let (intra, inter) = try models(system)
    let encoder = try VideoEncoder(
      intra: intra, inter: inter, width: frames[0].width, height: frames[0].height, settings)
    var stream = VideoTests.Stream(header: encoder.header)
    for frame in frames {
      let packet = try encoder.encode(frame)
      stream.packets.append(packet.bytes)
      stream.intra.append(packet.isIntra)
      stream.frames.append(encoder.reconstruction)
    }
    stream.end = encoder.finish()
    return stream
  }

  static func moving(_ count: Int, width: Int, height: Int) -> [Picture] {
    (0..<count).map { Fixtures.movingFrame($0, width: width, height: height) }
  }

  /// What Training/integer.py, which knows docs/format/model.md alone, makes of three frames at each rate point.
  @Test(arguments: names) func equalsTheSimulator(_ system: String) throws {
    let lines = try Fixtures.lines("models/tiny-\(system).txt")
    let (width, height) = (61, 52)
    let first = Fixtures.formulaPicture(width: width, height: height, .yuv420)
    let frames = (0..<3).map { t in
      Picture(unchecked: width, height, .yuv420, first.samples.map { $0 &+ UInt8(9 * t) })
    }
    #expect(lines.count == 9)
    for cpu in CPU.available {
      var found: [[String]] = []
      for k in 0..<3 {
        let settings = VideoTests.settings {
          // The simulator rounds, and has no filters.
          $0.hasDeadZone = false
          $0.filters = false
          $0.rate = .quality(50 * Double(k))
          $0.intraOffset = 0
          $0.pattern = []
          $0.segmentRows = 0
          $0.intraRDOQ = .off
          $0.execution.cpu = cpu
          $0.execution.threads = 2
        }
        let stream = try Self.encode(system, frames: frames, settings)
        #expect(stream.intra == [true, false, false])
        for (t, frame) in stream.frames.enumerated() { found.append(["\(k)", "\(t)"] + Fixtures.planeHashes(frame)) }
      }
      #expect(found == lines, "\(system), \(cpu.name)")
    }
  }

  /// The decoder has the encoder's frames and the stream is the same whatever variant and however many threads are used,
  /// while qualities alternate: also between rate points, with latents of other widths before.
  @Test(arguments: names) func decoderFollowsTheEncoder(_ system: String) throws {
    let (intra, inter) = try Self.models(system)
    for (width, height) in [(61, 43), (16, 130)] {
      var first: [UInt8]?
      for cpu in CPU.available {
        for threads in [1, 3] {
          let settings = VideoTests.settings {
            $0.intraPeriod = 5
            $0.execution.cpu = cpu
            $0.execution.threads = threads
          }
          let stream = try Self.encode(system, frames: Self.moving(7, width: width, height: height), settings)
          #expect(stream.bytes == first ?? stream.bytes, "\(cpu.name), \(threads) threads: another stream")
          first = stream.bytes
          let decoder = try VideoDecoder(
            header: stream.header, intra: intra, inter: inter, execution: VideoTests.other(cpu, threads: threads))
          for (t, packet) in stream.packets.enumerated() {
            let frame = try #require(try decoder.decode(packet))
            #expect(frame.isIntra == (t % 5 == 0))
            #expect(
              frame.picture == stream.frames[t], "frame \(t), \(width)×\(height), \(cpu.name), \(threads) threads")
          }
        }
      }
    }
  }

  /// Searches of intra and of inter frames run on these networks, and what they find decodes.
  @Test(arguments: names, [RDOQ.quick, .full]) func searchesDecode(_ system: String, _ rdoq: RDOQ) throws {
    let (intra, inter) = try Self.models(system)
    let settings = VideoTests.settings {
      $0.rdoq = rdoq
      $0.intraRDOQ = rdoq
    }
    let stream = try Self.encode(system, frames: Self.moving(3, width: 50, height: 34), settings)
    let decoder = try VideoDecoder(header: stream.header, intra: intra, inter: inter)
    for (t, packet) in stream.packets.enumerated() {
      #expect(try decoder.decode(packet)?.picture == stream.frames[t], "frame \(t)")
    }
  }

  /// What an intra frame leaves behind changes how the next frame decodes; intra frames of a model that leaves nothing give
  /// zeros.
  @Test func intraFramesLeaveStates() throws {
    let (intra, inter) = try Self.models("flag")
    let frames = Self.moving(2, width: 64, height: 64)
    var decoded: [[UInt8]] = []
    for model in [intra, Fixtures.tinyFormats] {
      let encoder = try VideoEncoder(intra: model, inter: inter, width: 64, height: 64, VideoTests.settings())
      for frame in frames { _ = try encoder.encode(frame) }
      decoded.append(encoder.reconstruction.samples)
    }
    #expect(decoded[0] != decoded[1])
  }

  /// A model file with bytes of a section changed, of the `nth` with this tag.
  static func changed(
    _ file: String, _ tag: String, nth: Int = 0, _ change: (inout [UInt8]) -> Void
  ) throws -> [UInt8] {
    var sections = ModelFileWriter.sections(of: try Fixtures.bytes("models/\(file).scm"))
    let places = sections.indices.filter { sections[$0].tag == tag }
    change(&sections[places[nth]].payload)
    return ModelFileWriter.file(sections)
  }

  /// Widths of a hyperprior's tensors that do not belong together, and states out of order.
  @Test func wrongWidthsAndStates() throws {
    // Behind K, C and λ: the widths of the first rate point, of the latent, of parameters, of the hyper-latent.
    for (offset, width) in [(6, 3), (8, 6), (8, 5)] {
      let file = try Self.changed("tiny-slimvc-inter", "RATE") { $0[offset] = UInt8(width) }
      #expect(throws: ModelError.self, "width \(width) at \(offset)") { try Model(file) }
    }
    // The last output of synthesis, the second graph: name, index, tensor.
    let file = try Self.changed("tiny-stem-inter", "GRPH", nth: 1) {
      #expect($0[$0.count - 4] == TensorName.state.rawValue)
      $0[$0.count - 3] = 1
    }
    #expect(throws: ModelError.self) { try Model(file) }
  }
}
