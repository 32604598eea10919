// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import SwiftCodec

/// Pictures of all pixel formats through models that have networks for each of them.
@Suite struct PixelFormatTests {
  static func model(_ name: String) -> Model { name == "tiny" ? Fixtures.tinyFormats : Fixtures.embedded }

  /// Every step of Fixtures/models/tiny-formats.txt, which Training/integer.py makes from docs/format/model.md alone.
  @Test func equalsTheSimulator() throws {
    let model = Fixtures.tinyFormats
    let lines = try Fixtures.lines("models/tiny-formats.txt")
    #expect(lines.count == 3 * (model.ratePoints.count + 1))
    for line in lines {
      let format = try #require(PixelFormat.allCases.first { "\($0.name)" == line[0] })
      let picture = Fixtures.formulaPicture(width: 37, height: 29, format)
      let k = try NetworkTests.position(line[1])
      for cpu in CPU.available {
        var execution = Execution()
        execution.cpu = cpu
        execution.threads = 2
        var prepared = PreparedModel(model)
        let layout = LatentLayout(model, width: 37, height: 29, format: format, segmentRows: 64)
        let channels = model.latentChannels(at: k)
        #expect([channels, layout.height, layout.width].map(String.init) == Array(line[2...4]))
        let latent = prepared.program(.analysis, format, at: k, cpu: cpu)
          .analyse(picture, layout, channels: channels, execution)
        let values = UnsafeBufferPointer(start: latent.segments[0].base, count: latent.segments[0].count)
        #expect([values.min(), values.max()].map { String($0 ?? 0) } == Array(line[5...6]))
        let synthesis = prepared.program(.synthesis, format, at: k, cpu: cpu)
        var planes = synthesis.outputs.map { _ in ByteWriter() }
        synthesis.run(
          width: layout.paddedWidth, height: layout.paddedHeight, Execution(),
          source: { _, y, row in latent.read(row: y, row) },
          sink: { output, _, row in
            let tensor = synthesis.tensors[synthesis.outputs[output].tensor]
            for i in 0..<(layout.paddedWidth / tensor.divisor * tensor.channels) { planes[output].i16(row[i]) }
          })
        var decoded = picture
        synthesis.synthesise(latent, into: &decoded, execution)
        let found =
          Fixtures.planeHashes(picture) + [NetworkTests.hash(latent)] + planes.map { Fixtures.hash($0.bytes) }
          + Fixtures.planeHashes(decoded)
        #expect(found == Array(line[7...]), "\(line[0]) at \(line[1]), \(cpu.name)")
      }
    }
  }

  static let sizes = [(1, 1), (3, 5), (17, 33)]

  /// What the encoder promises is what every variant decodes, with any number of threads.
  @Test(arguments: ["tiny", "flagship"], PixelFormat.allCases)
  func roundTrips(_ name: String, _ format: PixelFormat) throws {
    let model = Self.model(name)
    for (width, height) in Self.sizes + (name == "tiny" ? [(40, 230)] : []) {
      let picture = Fixtures.formulaPicture(width: width, height: height, format)
      for k in [0, model.ratePoints.count - 1] {
        var files: [[UInt8]] = []
        for cpu in CPU.available {
          for threads in [1, 3] {
            let encoder = Encoder(model: model)
            encoder.segmentRows = 8
            var settings = EncoderSettings(ratePoint: k)
            settings.execution.cpu = cpu
            settings.execution.threads = threads
            let encoded = try encoder.encode(picture, settings)
            files.append(encoded.bytes)
            var execution = settings.execution
            execution.threads = 4 - threads
            let decoded = try Decoder(model: model, execution: execution).decode(encoded.bytes)
            let note = "\(name), \(format.name), \(width)×\(height), rate point \(k), \(cpu.name), \(threads) threads"
            #expect(decoded == encoded.reconstruction, "\(note)")
            #expect(decoded.format == format && decoded.squaredError(to: picture) == encoded.squaredError, "\(note)")
          }
        }
        #expect(files.allSatisfy { $0 == files[0] })
      }
    }
  }

  /// A stream of one format decodes with the other formats' networks: they share the latent.
  @Test(arguments: ["tiny", "flagship"], PixelFormat.allCases)
  func decodesToTheOthers(_ name: String, _ format: PixelFormat) throws {
    let model = Self.model(name)
    let picture = Fixtures.formulaPicture(width: 37, height: 29, format)
    let position = RatePosition(ratePoint: 1)
    var settings = EncoderSettings(position: position)
    settings.hasDeadZone = false
    settings.filters = false
    let encoded = try encode(picture, model: model, settings: settings)
    var prepared = PreparedModel(model)
    let kind = try #require(model.preferredEntropyKind)
    let layout = LatentLayout(model, width: 37, height: 29, format: format, segmentRows: 64)
    let channels = model.latentChannels(at: position)
    let latent = prepared.program(.analysis, format, at: position, cpu: .best)
      .analyse(picture, layout, channels: channels, Execution())
    let hyperLatent = prepared.hyperLatent(of: latent, at: position, Execution())
    let codec = prepared.segmentCodec(kind, at: position, cpu: .best)
    // With a hyperprior this makes the latent what a decoder gets.
    _ = try #require(codec)
      .quantise(segment: 0, latent, hyperLatent: hyperLatent?.segments[0].base, Execution())
    for other in PixelFormat.allCases {
      var expected = Fixtures.formulaPicture(width: 37, height: 29, other)
      prepared.program(.synthesis, other, at: position, cpu: .best)
        .synthesise(latent, into: &expected, Execution())
      for cpu in CPU.available {
        for threads in [1, 3] {
          var execution = Execution()
          execution.cpu = cpu
          execution.threads = threads
          let decoded = try Decoder(model: model, execution: execution).decode(encoded.bytes, as: other)
          #expect(decoded == expected, "\(name), \(format.name) as \(other.name), \(cpu.name), \(threads) threads")
        }
      }
    }
  }

  /// The flagship's networks of all formats show the same picture: a drawn one that loses no more than the codec's own noise
  /// when it is coded as one format and decoded as another.
  @Test func theFlagshipsFormatsAgree() throws {
    let model = Fixtures.embedded
    let rgb = drawnPicture(width: 96, height: 80)
    let yuv = Fixtures.yuv420(rgb)
    let settings = EncoderSettings(ratePoint: model.ratePoints.count - 1)
    let encoded = try encode(yuv, model: model, settings: settings)
    let decoder = Decoder(model: model)
    let colour = try decoder.decode(encoded.bytes, as: .rgb)
    let grey = try decoder.decode(encoded.bytes, as: .grey)
    let own = try decoder.decode(encoded.bytes)
    func psnr(_ a: Picture, _ b: Picture, plane: Int = 0) -> Double {
      peakSignalToNoiseRatio(squaredError: a.squaredError(to: b, plane: plane), samples: a.planes[plane].range.count)
    }
    // Grey pictures have the full range.
    let luma = try Picture(
      width: 96, height: 80, format: .grey,
      samples: yuv.samples[..<(96 * 80)].map { UInt8(min(max((Int($0) - 16) * 255 / 219, 0), 255)) })
    let figures = [
      psnr(own, yuv), psnr(own, yuv, plane: 1), psnr(own, yuv, plane: 2), psnr(colour, rgb), psnr(grey, luma),
    ]
    #expect(figures.allSatisfy { $0 > 30 }, "\(figures)")
  }

  /// A model without networks for a format says so; a grey picture goes through those for RGB.
  @Test func missingFormats() throws {
    let yuv = Fixtures.formulaPicture(width: 9, height: 7, .yuv420)
    #expect(throws: EncodeError.format(.yuv420)) {
      try encode(yuv, model: Fixtures.tiny, settings: EncoderSettings(ratePoint: 0))
    }
    let grey = Fixtures.formulaPicture(width: 9, height: 7, .grey)
    let encoded = try encode(grey, model: Fixtures.tiny, settings: EncoderSettings(ratePoint: 0))
    #expect(try Decoder(model: Fixtures.tiny).decode(encoded.bytes, as: .rgb).format == .rgb)
    #expect(throws: DecodeError.format(.yuv420)) {
      try Decoder(model: Fixtures.tiny).decode(encoded.bytes, as: .yuv420)
    }
    #expect(throws: EncodeError.format(.yuv420)) {
      try encode(yuv, model: Fixtures.tinyInter, settings: EncoderSettings(ratePoint: 0))
    }
  }
}
