// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import SwiftCodec

/// Models with a hyperprior: the whole chain against NaiveNetwork, and round trips of several segments.
@Suite struct HyperpriorTests {
  /// What a decoder must give for a picture of one segment (model.md §7).
  static func expected(_ picture: Picture, _ file: ModelFileWriter, _ ratePoint: Int, unit: Int) -> [UInt8] {
    let naive = NaiveNetwork(file: file, ratePoint: ratePoint)
    func graph(_ role: Int) -> ModelFileWriter.Graph? { file.graphs.first { $0.role == role } }
    let (width, height) = ((picture.width + unit - 1) / unit * unit, (picture.height + unit - 1) / unit * unit)
    var input = NaiveNetwork.Tensor(height, width, 3)
    for y in 0..<height {
      for x in 0..<width {
        for c in 0..<3 {
          let pixel = min(y, picture.height - 1) * picture.width + min(x, picture.width - 1)
          input[y, x, c] = 2 * Int64(picture.samples[picture.channels * pixel + min(c, picture.channels - 1)]) - 255
        }
      }
    }
    let y = naive.run(graph(0)!, [input])
    let h = naive.run(graph(3)!, [naive.run(graph(2)!, [y])])
    let q = Int64(graph(0)!.tensor(graph(0)!.output).q)
    func int16(_ value: Int64) -> Int64 { min(max(value, -32768), 32767) }
    // ŷ of the slices so far.
    var decoded = NaiveNetwork.Tensor(y.height, y.width, 0)
    var slice = 0
    while let network = graph(16 + slice) {
      let parameters = naive.run(network, slice == 0 ? [h] : [h, decoded])
      let count = parameters.channels / 2
      var next = NaiveNetwork.Tensor(y.height, y.width, decoded.channels + count)
      for row in 0..<y.height {
        for column in 0..<y.width {
          for c in 0..<decoded.channels { next[row, column, c] = decoded[row, column, c] }
          for c in 0..<count {
            let mean = parameters[row, column, c]
            let difference = y[row, column, decoded.channels + c] - mean
            let v = int16(q == 0 ? difference : (difference + 1 << (q - 1)) >> q)
            next[row, column, decoded.channels + c] = int16(v << q + mean)
          }
        }
      }
      decoded = next
      slice += 1
    }
    let synthesis = graph(1)!
    let out = naive.run(synthesis, [decoded])
    let shift = Int64(synthesis.tensor(synthesis.output).q)
    var samples: [UInt8] = []
    for row in 0..<picture.height {
      for column in 0..<picture.width {
        let rgb = (0..<3).map { min(max(128 + out[row, column, $0] >> shift, 0), 255) }
        if picture.channels == 3 {
          samples += rgb.map { UInt8($0) }
        } else {
          samples.append(UInt8((77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2] + 128) >> 8))
        }
      }
    }
    return samples
  }

  @Test(arguments: cases(24, long: 160)) func equalsTheNaiveChain(_ number: Int) throws {
    let seed = SplitMix.seed &* 500 &+ UInt64(number)
    let graph = RandomGraph(hyperpriorSeed: seed)
    let model = try NetworkTests.model(graph.file.file(), seed)
    var random = SplitMix(seed)
    for k in 0..<graph.file.ratePoints {
      let picture = Fixtures.randomPicture(
        random.int(1...30), random.int(1...30), random.pick([1, 3]), &random)
      let expected = Self.expected(picture, graph.file, k, unit: model.paddingUnit(.rgb))
      for cpu in CPU.available {
        let encoder = Encoder(model: model)
        encoder.segmentRows = 2040
        var settings = EncoderSettings(ratePoint: k)
        settings.filters = false
        settings.execution.cpu = cpu
        settings.execution.threads = random.int(1...3)
        let encoded = try encoder.encode(picture, settings)
        var execution = settings.execution
        execution.threads = random.int(1...3)
        execution.stripeRows = random.below(5)
        let decoded = try Decoder(model: model, execution: execution).decode(encoded.bytes)
        let same = [decoded.samples == expected, encoded.reconstruction?.samples == expected]
        #expect(
          same == [true, true], "seed \(seed), rate point \(k), \(picture.width)×\(picture.height), \(cpu.name)")
      }
    }
  }

  /// Every step of Fixtures/models/tiny-hyper.txt and of the same with another domain, which Training/integer.py makes from
  /// docs/format/model.md alone.
  @Test(arguments: ["tiny-hyper", "tiny-grown"]) func equalsTheSimulator(_ name: String) throws {
    let model = name == "tiny-grown" ? Fixtures.tinyGrown : Fixtures.tinyHyper
    let picture = Fixtures.formulaPicture(width: 37, height: 29)
    let lines = try Fixtures.lines("models/\(name).txt")
    #expect(lines.count == model.ratePoints.count + model.domains.count)
    for line in lines {
      let k = try NetworkTests.position(line[0])
      #expect(hexadecimal32(Fixtures.hash(picture)) == line[6])
      for cpu in CPU.available {
        var execution = Execution()
        execution.cpu = cpu
        execution.threads = 2
        var prepared = PreparedModel(model)
        let layout = LatentLayout(model, width: picture.width, height: picture.height, segmentRows: 64)
        let channels = model.latentChannels(at: k)
        #expect([channels, layout.height, layout.width].map(String.init) == Array(line[1...3]))
        let latent = prepared.program(.analysis, at: k, cpu: cpu)
          .analyse(picture, layout, channels: channels, execution)
        let values = UnsafeBufferPointer(start: latent.segments[0].base, count: latent.segments[0].count)
        #expect([values.min(), values.max()].map { String($0 ?? 0) } == Array(line[4...5]))
        let places = layout.width * layout.height
        let y = Self.hash(latent.segments[0].base, places: places, channels)
        let prediction = prepared.hyperLatent(of: latent, at: k, execution)
        let coder = prepared.segmentCodec(.static, at: k, cpu: cpu)
        let hyperLatent = try #require(prediction)
        let codec = try #require(coder)
        let z = hyperLatent.segments[0].base
        let hyperPlaces = hyperLatent.layout.width * hyperLatent.layout.height
        let quantised = codec.quantise(segment: 0, latent, hyperLatent: z, execution)
        let (prior, symbols) = (try #require(quantised.prior), quantised.symbols)
        let found = [
          y, Self.hash(z, places: hyperPlaces, hyperLatent.channels),
          Self.hash(symbols.base, places: places, channels), Self.hash(prior.scales.base, places: places, channels),
          Self.hash(latent.segments[0].base, places: places, channels),
        ]
        #expect(found == Array(line[7...11]), "position \(line[0]), \(cpu.name): y, z, v, scales, decoded latent")
        var rows = ByteWriter()
        prepared.program(.synthesis, at: k, cpu: cpu).run(
          width: layout.paddedWidth, height: layout.paddedHeight, Execution(),
          source: { _, y, row in latent.read(row: y, row) },
          sink: { _, _, row in for i in 0..<(3 * layout.paddedWidth) { rows.i16(row[i]) } })
        #expect(hexadecimal32(crc32c(rows.bytes, in: 0..<rows.bytes.count)) == line[12], "the synthesis")

        var settings = EncoderSettings(position: k)
        settings.execution = execution
        settings.hasDeadZone = false
        settings.filters = false
        let encoded = try encode(picture, model: model, settings: settings)
        let decoded = try decode(encoded.bytes, model: model, execution: execution)
        #expect(hexadecimal32(Fixtures.hash(decoded)) == line[13], "position \(line[0]), \(cpu.name): the picture")
        #expect(encoded.reconstruction == decoded)
      }
    }
  }

  /// CRC-32C of planes as int16 [row][column][channel].
  static func hash<T: FixedWidthInteger>(
    _ planes: UnsafePointer<T>, places: Int, _ channels: Int
  ) -> String {
    var bytes = ByteWriter()
    for p in 0..<places { for c in 0..<channels { bytes.i16(Int16(planes[c * places + p])) } }
    return hexadecimal32(crc32c(bytes.bytes, in: 0..<bytes.bytes.count))
  }

  @Test(arguments: cases(8, long: 40)) func severalSegments(_ number: Int) throws {
    let seed = SplitMix.seed &* 900 &+ UInt64(number)
    let graph = RandomGraph(hyperpriorSeed: seed)
    let model = try NetworkTests.model(graph.file.file(), seed)
    var random = SplitMix(seed)
    for rows in [8, 16] {
      let picture = Fixtures.randomPicture(random.int(1...20), random.int(20...150), 3, &random)
      let encoder = Encoder(model: model)
      encoder.segmentRows = rows
      var settings = EncoderSettings(ratePoint: 0)
      settings.execution.threads = 3
      let encoded = try encoder.encode(picture, settings)
      for threads in [1, 4] {
        var execution = Execution()
        execution.threads = threads
        let same = try Decoder(model: model, execution: execution).decode(encoded.bytes) == encoded.reconstruction
        #expect(same, "seed \(seed), \(picture.width)×\(picture.height), segments of \(rows), \(threads) threads")
      }
      // Damage behind right checksums: an error, or some picture of the right size.
      let decoder = Decoder(model: model)
      for _ in 0..<40 {
        var bytes = encoded.bytes
        for _ in 0..<3 { bytes[random.int(12...(bytes.count - 1))] ^= 1 << UInt8(random.below(8)) }
        Mending.bitstream(&bytes)
        if let result = HostileTests.decoded(bytes, decoder) { #expect(result.width == picture.width) }
      }
    }
  }
}
