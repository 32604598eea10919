// SPDX-License-Identifier: BSD-3-Clause

import CSwiftCodec
import Testing

@testable import SwiftCodec
@testable import SwiftCodecDefaultModel

/// Regions are crops of the whole picture; limits, callbacks and metadata of both interfaces.
@Suite struct RegionTests {
  static func model(_ name: String) throws -> Model { try Model(Fixtures.bytes("models/\(name).scm")) }

  /// A drawn picture in any format.
  static func picture(_ width: Int, _ height: Int, _ format: PixelFormat) throws -> Picture {
    let samples = (0..<format.sampleCount(width: width, height: height)).map { i in
      UInt8((i * i / 97 + 13 * (i % width) + 7 * (i / width)) % 256)
    }
    return try Picture(width: width, height: height, format: format, samples: samples)
  }

  @Test(arguments: ["tiny", "tiny-hyper", "tiny-formats"], [PixelFormat.rgb, .grey, .yuv420])
  func equalsTheCrop(_ name: String, _ format: PixelFormat) throws {
    let model = try Self.model(name)
    guard model.codes(format) else { return }
    let (width, height) = (83, 301)
    let encoder = Encoder(model: model)
    encoder.segmentRows = 8
    let bytes = try encoder.encode(Self.picture(width, height, format), EncoderSettings(ratePoint: 1)).bytes
    var execution = Execution()
    execution.threads = 2
    let decoder = Decoder(model: model, execution: execution)
    let whole = try decoder.decode(bytes)
    #expect(try BitstreamHeader(parsing: bytes).segmentCount > 2)
    var random = SplitMix(11)
    let even = format == .yuv420 ? 2 : 1
    var regions = [
      PictureRegion(x: 0, y: 0, width: width, height: height),
      PictureRegion(x: 82 / even * even, y: 0, width: 1, height: 1),
      PictureRegion(x: 0, y: 300, width: width, height: 1), PictureRegion(x: 0, y: 128, width: width, height: 2),
    ]
    for _ in 0..<24 {
      let (x, y) = (random.below(width) / even * even, random.below(height) / even * even)
      regions.append(
        PictureRegion(x: x, y: y, width: 1 + random.below(width - x), height: 1 + random.below(height - y)))
    }
    for region in regions {
      #expect(try decoder.decode(bytes, region: region) == whole.cropped(to: region), "\(region)")
    }
    for region in [
      PictureRegion(x: -1, y: 0, width: 1, height: 1), PictureRegion(x: 0, y: 0, width: 84, height: 1),
      PictureRegion(x: 2, y: 2, width: Int.max, height: 1), PictureRegion(x: 0, y: 301, width: 1, height: 1),
      PictureRegion(x: 0, y: 0, width: 1, height: 0),
    ] {
      #expect(throws: DecodeError.region(region, width: width, height: height)) {
        try decoder.decode(bytes, region: region)
      }
    }
    // A part of the picture takes less memory than all of it.
    let header = try BitstreamHeader(parsing: bytes)
    #expect(
      try decoder.workingMemory(header, region: PictureRegion(x: 0, y: 0, width: 9, height: 9))
        < decoder.workingMemory(header))
  }

  /// The embedded model, whose receptive field is that of users.
  @Test func embeddedModel() throws {
    let encoder = Encoder(model: Fixtures.embedded)
    encoder.segmentRows = 8
    let picture = try Self.picture(70, 400, .rgb)
    let bytes = try encoder.encode(picture, EncoderSettings(ratePoint: 2)).bytes
    let decoder = Decoder(model: Fixtures.embedded)
    let whole = try decoder.decode(bytes)
    for y in stride(from: 0, to: 400, by: 57) {
      let region = PictureRegion(x: 3, y: y, width: 60, height: min(61, 400 - y))
      #expect(try decoder.decode(bytes, region: region) == whole.cropped(to: region))
    }
  }

  @Test func cRegions() throws {
    let model = try CInterfaceTests.makeModel()
    defer { sc_model_destroy(model) }
    let encoder = Encoder(model: Fixtures.tiny)
    encoder.segmentRows = 8
    let bytes = try encoder.encode(Self.picture(40, 150, .rgb), EncoderSettings(ratePoint: 2)).bytes
    let whole = try Decoder(model: Fixtures.tiny).decode(bytes)
    var decoder: OpaquePointer?
    #expect(sc_decoder_create(model, nil, &decoder) == SC_OK)
    defer { sc_decoder_destroy(decoder) }
    var region = sc_region(x: 7, y: 60, width: 21, height: 33)
    let stride = 21 * 4 + 5
    var out = [UInt8](repeating: 0xee, count: stride * 33)
    CInterfaceTests.withPicture(&out, 21, 33, SC_PIXEL_RGBA, stride: stride) { target in
      #expect(sc_decode_region(decoder, bytes, bytes.count, &region, &target) == SC_OK)
      #expect(sc_decode_region(decoder, bytes, bytes.count, nil, &target) == SC_ERROR_ARGUMENT)
      #expect(sc_decode_region(nil, bytes, bytes.count, &region, &target) == SC_ERROR_ARGUMENT)
      for bad in [
        sc_region(x: 20, y: 60, width: 21, height: 33), sc_region(x: 7, y: 150, width: 21, height: 33),
        sc_region(x: .max, y: 60, width: 21, height: 33), sc_region(x: 7, y: 60, width: 20, height: 33),
      ] {
        region = bad
        #expect(sc_decode_region(decoder, bytes, bytes.count, &region, &target) == SC_ERROR_LAYOUT)
        #expect(!CInterfaceTests.text(sc_decoder_message(decoder)).isEmpty)
      }
    }
    let crop = whole.cropped(to: PictureRegion(x: 7, y: 60, width: 21, height: 33))
    for y in 0..<33 {
      for x in 0..<21 {
        #expect(out[y * stride + 4 * x + 3] == 255)
        for c in 0..<3 { #expect(out[y * stride + 4 * x + c] == crop.samples[3 * (y * 21 + x) + c]) }
      }
      #expect(out[(y * stride + 84)..<((y + 1) * stride)].allSatisfy { $0 == 0xee })
    }
  }

  /// Alpha comes back as it was, of the whole picture and of a region; 255 everywhere takes no bytes.
  @Test(arguments: [SC_PIXEL_RGBA, SC_PIXEL_BGRA]) func transparency(_ format: sc_pixel_format) throws {
    let model = try CInterfaceTests.makeModel()
    defer { sc_model_destroy(model) }
    var (encoder, decoder): (OpaquePointer?, OpaquePointer?)
    #expect(sc_encoder_create(model, nil, &encoder) == SC_OK)
    #expect(sc_decoder_create(model, nil, &decoder) == SC_OK)
    defer {
      sc_encoder_destroy(encoder)
      sc_decoder_destroy(decoder)
    }
    let (width, height) = (31, 26)
    let count = 4 * width * height
    var samples: [UInt8] = (0..<count).map { (i: Int) -> UInt8 in UInt8((i * 7 + i / 124) % 256) }
    func encode() -> [UInt8] {
      var bytes: UnsafeMutablePointer<UInt8>?
      var size = 0
      CInterfaceTests.withPicture(&samples, width, height, format) {
        #expect(sc_encode(encoder, &$0, &bytes, &size) == SC_OK)
      }
      defer { sc_free(bytes) }
      return Array(UnsafeBufferPointer(start: bytes, count: size))
    }
    let stream = encode()
    #expect(sc_has_alpha(stream, stream.count) == 1 && sc_has_alpha(stream, stream.count - 1) == 0)
    #expect(sc_has_alpha(nil, 9) == 0)
    var out = [UInt8](repeating: 0, count: samples.count)
    CInterfaceTests.withPicture(&out, width, height, format) {
      #expect(sc_decode(decoder, stream, stream.count, &$0) == SC_OK)
    }
    #expect(stride(from: 3, to: samples.count, by: 4).allSatisfy { out[$0] == samples[$0] })
    var region = sc_region(x: 5, y: 9, width: 11, height: 7)
    var part = [UInt8](repeating: 0, count: 4 * 11 * 7)
    CInterfaceTests.withPicture(&part, 11, 7, format) {
      #expect(sc_decode_region(decoder, stream, stream.count, &region, &$0) == SC_OK)
    }
    for y in 0..<7 {
      let start = 4 * ((y + 9) * width + 5)
      #expect(part[(44 * y)..<(44 * (y + 1))] == out[start..<(start + 44)])
    }
    for i in stride(from: 3, to: samples.count, by: 4) { samples[i] = 255 }
    let opaque = encode()
    #expect(sc_has_alpha(opaque, opaque.count) == 0 && opaque.count < stream.count)
  }

  @Test func metadata() throws {
    let model = try CInterfaceTests.makeModel()
    defer { sc_model_destroy(model) }
    var encoder: OpaquePointer?
    #expect(sc_encoder_create(model, nil, &encoder) == SC_OK)
    defer { sc_encoder_destroy(encoder) }
    let kinds = [
      SC_METADATA_ICC, SC_METADATA_EXIF, SC_METADATA_XMP, SC_METADATA_CICP, SC_METADATA_GAMMA,
      SC_METADATA_CHROMATICITIES, SC_METADATA_RENDERING_INTENT, SC_METADATA_RESOLUTION,
    ]
    for (i, kind) in kinds.enumerated() {
      let data = (0..<(3 + 40 * i)).map { UInt8(($0 + i) % 256) }
      #expect(sc_encoder_set_metadata(encoder, kind, data, data.count) == SC_OK)
    }
    // Replaced, and taken away.
    #expect(sc_encoder_set_metadata(encoder, SC_METADATA_ICC, [1, 2], 2) == SC_OK)
    #expect(sc_encoder_set_metadata(encoder, SC_METADATA_XMP, nil, 0) == SC_OK)
    #expect(sc_encoder_set_metadata(encoder, sc_metadata(0), [1], 1) == SC_ERROR_ARGUMENT)
    #expect(sc_encoder_set_metadata(encoder, sc_metadata(9), [1], 1) == SC_ERROR_ARGUMENT)
    #expect(sc_encoder_set_metadata(encoder, SC_METADATA_XMP, nil, 1) == SC_ERROR_ARGUMENT)
    #expect(sc_encoder_set_metadata(nil, SC_METADATA_XMP, nil, 0) == SC_ERROR_ARGUMENT)
    var samples = try Self.picture(20, 12, .grey).samples
    var pointer: UnsafeMutablePointer<UInt8>?
    var size = 0
    CInterfaceTests.withPicture(&samples, 20, 12, SC_PIXEL_GREY) {
      #expect(sc_encode(encoder, &$0, &pointer, &size) == SC_OK)
    }
    let bytes = UnsafePointer(try #require(pointer))
    defer { sc_free(pointer) }
    let decoded = try Decoder(model: Fixtures.tiny).decodeAll(Array(UnsafeBufferPointer(start: bytes, count: size)))
    #expect(decoded.metadata.count == 7)
    for (i, kind) in kinds.enumerated() {
      var data: UnsafePointer<UInt8>?
      var count = 7
      #expect(sc_read_metadata(bytes, size, kind, &data, &count) == SC_OK)
      let found = Array(UnsafeBufferPointer(start: data, count: count))
      #expect(found == (i == 0 ? [1, 2] : i == 2 ? [] : (0..<(3 + 40 * i)).map { UInt8(($0 + i) % 256) }))
      #expect(sc_read_metadata(bytes, size - 1, kind, &data, &count) == SC_ERROR_TRUNCATED && data == nil && count == 0)
      #expect(sc_read_metadata(nil, size, kind, &data, &count) == SC_ERROR_ARGUMENT)
      #expect(sc_read_metadata(bytes, size, sc_metadata(99), &data, &count) == SC_ERROR_ARGUMENT)
    }
  }

  /// What a callback sees, and when it says stop.
  final class Watch {
    var shares: [Double] = []
    var stopAt = 2.0

    static let callback: sc_progress = { context, share in
      let watch = Unmanaged<Watch>.fromOpaque(context!).takeUnretainedValue()
      watch.shares.append(share)
      return share >= watch.stopAt ? 1 : 0
    }
  }

  @Test(arguments: ["tiny", "tiny-hyper"]) func progressAndCancellation(_ name: String) throws {
    let model = try CInterfaceTests.makeModel(Fixtures.bytes("models/\(name).scm"))
    defer { sc_model_destroy(model) }
    let watch = Watch()
    try withExtendedLifetime(watch) {
      let context = Unmanaged.passUnretained(watch).toOpaque()
      var settings = CInterfaceTests.encoderSettings
      settings.segment_rows = 8
      settings.threads = 1
      var (encoder, decoder): (OpaquePointer?, OpaquePointer?)
      #expect(sc_encoder_create(model, &settings, &encoder) == SC_OK)
      defer { sc_encoder_destroy(encoder) }
      var samples = try Self.picture(64, 200, .rgb).samples
      func encode(_ status: sc_status) -> [UInt8] {
        #expect(sc_encoder_configure(encoder, &settings) == SC_OK)
        watch.shares = []
        var bytes: UnsafeMutablePointer<UInt8>?
        var size = 0
        CInterfaceTests.withPicture(&samples, 64, 200, SC_PIXEL_RGB) {
          #expect(sc_encode(encoder, &$0, &bytes, &size) == status)
        }
        defer { sc_free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: size))
      }
      var stream: [UInt8] = []
      for (rdoq, target) in [
        (SC_RDOQ_OFF, SC_TARGET_NONE), (SC_RDOQ_QUICK, SC_TARGET_NONE), (SC_RDOQ_FULL, SC_TARGET_NONE),
        (SC_RDOQ_OFF, SC_TARGET_BITS_PER_PIXEL),
      ] {
        settings.rdoq = rdoq
        settings.target = target
        settings.target_value = 3
        settings.progress = nil
        let without = encode(SC_OK)
        settings.progress = Watch.callback
        settings.progress_context = context
        watch.stopAt = 2
        stream = encode(SC_OK)
        #expect(stream == without)
        let shares = watch.shares
        #expect(shares.count > 2 && shares == shares.sorted() && shares.allSatisfy { 0...1 ~= $0 })
        for stop in [0, 0.3, 0.6] where shares.contains(where: { $0 >= stop }) {
          watch.stopAt = stop
          #expect(encode(SC_ERROR_CANCELLED).isEmpty)
          #expect(watch.shares.count(where: { $0 >= stop }) == 1)
          #expect(CInterfaceTests.text(sc_encoder_message(encoder)) == "cancelled")
        }
      }

      var limits = CInterfaceTests.decoderSettings
      limits.threads = 1
      limits.progress = Watch.callback
      limits.progress_context = context
      #expect(sc_decoder_create(model, &limits, &decoder) == SC_OK)
      defer { sc_decoder_destroy(decoder) }
      var out = [UInt8](repeating: 0, count: samples.count)
      for (stop, status) in [(2, SC_OK), (0, SC_ERROR_CANCELLED), (0.4, SC_ERROR_CANCELLED), (1, SC_ERROR_CANCELLED)] {
        watch.stopAt = stop
        watch.shares = []
        CInterfaceTests.withPicture(&out, 64, 200, SC_PIXEL_RGB) {
          #expect(sc_decode(decoder, stream, stream.count, &$0) == status)
        }
        #expect(watch.shares == watch.shares.sorted() && !watch.shares.isEmpty)
        if status == SC_OK {
          let model = try Self.model(name)
          #expect(try out == Decoder(model: model).decode(stream).samples && watch.shares.last == 1)
        }
      }
    }
  }

  @Test func limits() throws {
    let model = try CInterfaceTests.makeModel(Fixtures.bytes("models/tiny-hyper.scm"))
    defer { sc_model_destroy(model) }
    let encoder = Encoder(model: Fixtures.tinyHyper)
    encoder.segmentRows = 8
    let bytes = try encoder.encode(Self.picture(64, 200, .rgb), EncoderSettings(ratePoint: 0)).bytes
    let needed = try Decoder(model: Fixtures.tinyHyper).workingMemory(BitstreamHeader(parsing: bytes))
    #expect(needed > 10_000)
    var out = [UInt8](repeating: 0, count: 64 * 200 * 3)
    for (limit, status) in [(needed - 1, SC_ERROR_MEMORY), (needed, SC_OK)] {
      var settings = CInterfaceTests.decoderSettings
      settings.threads = 1
      settings.max_memory = UInt64(limit)
      var decoder: OpaquePointer?
      #expect(sc_decoder_create(model, &settings, &decoder) == SC_OK)
      CInterfaceTests.withPicture(&out, 64, 200, SC_PIXEL_RGB) {
        #expect(sc_decode(decoder, bytes, bytes.count, &$0) == status)
      }
      sc_decoder_destroy(decoder)
    }
    var settings = CInterfaceTests.encoderSettings
    settings.max_pixels = 64 * 200 - 1
    var handle: OpaquePointer?
    #expect(sc_encoder_create(model, &settings, &handle) == SC_OK)
    var pointer: UnsafeMutablePointer<UInt8>?
    var size = 0
    CInterfaceTests.withPicture(&out, 64, 200, SC_PIXEL_RGB) {
      #expect(sc_encode(handle, &$0, &pointer, &size) == SC_ERROR_TOO_LARGE)
    }
    sc_encoder_destroy(handle)
  }

  @Test func errorsPrintAsSentences() {
    #expect("\(DecodeError.notABitstream)" == "not a SwiftCodec bitstream")
    #expect("\(EncodeError.segmentRows(3))".hasPrefix("segments of 3 rows"))
    #expect("\(PictureError.size(width: 0, height: 1))".hasPrefix("a picture of 0×1"))
    #expect("\(ModelError.notAModel)" == "not a model file of a known version")
  }
}
