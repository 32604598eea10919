// SPDX-License-Identifier: BSD-3-Clause

import Testing

@testable import SwiftCodec

/// Filters of decoded pictures: their code, what they do, where they come from. The kernels: Tests/kernels/check_filter.c.
@Suite struct FilterTests {
  static func randomFilter(_ random: inout SplitMix, _ format: PixelFormat) -> PictureFilter {
    var filter = PictureFilter()
    for plane in PictureFilter.planes(format) where random.below(4) != 0 {
      var set = FilterSet()
      let most = [1, 4, 12][random.below(3)]
      for _ in 0..<(1 + random.below(FilterSet.mostFilters)) {
        set.filters.append(
          (0..<plane.taps).map { _ in random.below(3) == 0 ? 0 : Int8(random.below(2 * most + 1) - most) })
      }
      for c in set.map.indices { set.map[c] = UInt8(random.below(set.filters.count + 1)) }
      filter.sets[plane.rawValue] = set
    }
    return filter
  }

  static func photograph(_ format: PixelFormat, width: Int, height: Int) throws -> Picture {
    let rgb = try Fixtures.picture("scene")
      .cropped(to: PictureRegion(x: 0, y: 0, width: width, height: height))
    return format == .yuv420 ? Fixtures.yuv420(rgb) : try rgb.converted(to: format)
  }

  static func payload(_ filter: PictureFilter, _ format: PixelFormat, previous: PictureFilter?) -> [UInt8] {
    let encoder = PayloadEncoder()
    filter.encode(encoder, format, previous: previous)
    return encoder.finish()
  }

  static func decoded(_ payload: [UInt8], _ format: PixelFormat, previous: PictureFilter?) -> PictureFilter? {
    guard var decoder = PayloadDecoder(payload, in: 0..<payload.count) else { return nil }
    let filter = PictureFilter.decode(&decoder, format, previous: previous)
    return filter != nil && decoder.isFinished ? filter : nil
  }

  @Test func codeIsReadAgain() {
    var random = SplitMix(1)
    for _ in 0..<200 {
      for format in PixelFormat.allCases {
        let (filter, other) = (Self.randomFilter(&random, format), Self.randomFilter(&random, format))
        for previous in [nil, PictureFilter(), other, filter] {
          let payload = Self.payload(filter, format, previous: previous)
          #expect(Self.decoded(payload, format, previous: previous) == filter)
        }
      }
    }
    // What was there before takes next to nothing.
    let filter = Self.randomFilter(&random, .grey)
    #expect(Self.payload(filter, .grey, previous: filter).count <= 18)
  }

  /// Nothing but valid filters is read, whatever a payload holds.
  @Test func hostilePayloads() throws {
    var random = SplitMix(2)
    var good = 0
    for i in 0..<5000 {
      let format = PixelFormat.allCases[i % 3]
      var payload = Self.payload(Self.randomFilter(&random, format), format, previous: nil)
      for _ in 0..<(1 + random.below(4)) {
        payload[random.below(payload.count)] = UInt8(random.below(256))
      }
      guard var decoder = PayloadDecoder(payload, in: 0..<payload.count),
        let filter = PictureFilter.decode(&decoder, format, previous: nil)
      else { continue }
      good += 1
      for set in filter.sets.compactMap({ $0 }) {
        #expect(1...FilterSet.mostFilters ~= set.filters.count)
        #expect(set.map.allSatisfy { $0 <= set.filters.count })
        #expect(set.filters.allSatisfy { $0.allSatisfy { abs(Int($0)) <= 63 } })
      }
      var picture = Fixtures.formulaPicture(width: 9, height: 7, format)
      picture.withMutableView { filter.apply(to: $0, Execution()) }
    }
    #expect(good > 100)
  }

  /// Neither threads nor kernels change what a filter does.
  @Test(arguments: PixelFormat.allCases) func everyExecutionFiltersAlike(_ format: PixelFormat) {
    var random = SplitMix(3)
    for (width, height) in [(1, 1), (3, 50), (64, 33), (101, 130)] {
      let filter = Self.randomFilter(&random, format)
      let picture = Fixtures.formulaPicture(width: width, height: height, format)
      var wanted = picture
      wanted.withMutableView { filter.apply(to: $0, Execution()) }
      for cpu in CPU.available {
        for threads in [1, 2, 7] {
          var execution = Execution()
          (execution.cpu, execution.threads) = (cpu, threads)
          var found = picture
          found.withMutableView { filter.apply(to: $0, execution) }
          #expect(found == wanted)
        }
      }
    }
  }

  /// Filters that the encoder finds bring the picture nearer, by what they were chosen for, on every machine the same.
  @Test(arguments: PixelFormat.allCases) func designReducesTheError(_ format: PixelFormat) throws {
    let original = try Self.photograph(format, width: 160, height: 120)
    // Blurred, and a little noise.
    var blurred = original
    for plane in original.planes {
      let n = plane.components
      for y in 0..<plane.height {
        for x in 0..<plane.width {
          for c in 0..<n {
            func at(_ dx: Int) -> Int {
              Int(original.samples[plane.offset + y * plane.rowSize + min(plane.width - 1, max(0, x + dx)) * n + c])
            }
            blurred.samples[plane.offset + y * plane.rowSize + x * n + c] = UInt8((at(-1) + 2 * at(0) + at(1) + 2) / 4)
          }
        }
      }
    }
    let lambda = 0.05
    var filters: [PictureFilter] = []
    for cpu in CPU.available {
      for threads in [1, 3] {
        var execution = Execution()
        (execution.cpu, execution.threads) = (cpu, threads)
        filters.append(
          blurred.withView { blurred in
            original.withView { FilterDesign(blurred, original: $0, lambda: lambda, execution).best() }
          })
      }
    }
    #expect(!filters[0].isEmpty)
    #expect(filters.allSatisfy { $0 == filters[0] })
    var filtered = blurred
    filtered.withMutableView { filters[0].apply(to: $0, Execution()) }
    #expect(filtered.squaredError(to: original) * 10 < blurred.squaredError(to: original) * 7)
    // Of a picture that is right already there is nothing to gain.
    let none = original.withView { view in FilterDesign(view, original: view, lambda: lambda, Execution()).best() }
    #expect(none.isEmpty)
  }

  /// A region of a filtered picture is a part of the whole one, also in another format.
  @Test(arguments: PixelFormat.allCases) func regionsOfFilteredPictures(_ format: PixelFormat) throws {
    let model = Fixtures.embedded
    let picture = try Self.photograph(format, width: 208, height: 144)
    let encoder = Encoder(model: model)
    encoder.segmentRows = 8
    let encoded = try encoder.encode(picture, EncoderSettings(ratePoint: 5))
    var plain = EncoderSettings(ratePoint: 5)
    plain.filters = false
    #expect(try encoder.encode(picture, plain).reconstruction != encoded.reconstruction, "there is a filter")
    let decoder = Decoder(model: model)
    #expect(try decoder.decode(encoded.bytes) == encoded.reconstruction)
    var random = SplitMix(4)
    for other in PixelFormat.allCases where model.codes(other) {
      guard let whole = try? decoder.decode(encoded.bytes, as: other) else { continue }
      for i in 0..<12 {
        let (x, y) = (2 * random.below(100), 2 * random.below(70))
        let region = PictureRegion(
          x: x, y: y, width: 1 + random.below(208 - x), height: 1 + random.below(144 - y))
        decoder.execution.threads = 1 + i % 3
        #expect(try decoder.decode(encoded.bytes, region: region, as: other) == whole.cropped(to: region))
      }
    }
  }
}
