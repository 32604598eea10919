// SPDX-License-Identifier: BSD-3-Clause

import CCodecKernels
import CSwiftCodec
import Testing

@testable import SwiftCodec
import SwiftCodecDefaultModel

/// The functions of swiftcodec.h as a C program calls them; Tests/embedded/golden.c is one.
@Suite struct CInterfaceTests {
  static func makeModel(_ bytes: [UInt8] = Fixtures.tinyBytes) throws -> OpaquePointer {
    var model: OpaquePointer?
    #expect(sc_model_create(bytes, bytes.count, &model, nil, 0) == SC_OK)
    return try #require(model)
  }

  /// Calls with a C picture of samples in memory, rows `stride` bytes apart in the first plane.
  static func withPicture<T>(
    _ samples: inout [UInt8], _ width: Int, _ height: Int, _ format: sc_pixel_format, stride: Int = 0,
    _ body: (inout sc_picture) throws -> T
  ) rethrows -> T {
    try samples.withUnsafeMutableBufferPointer { samples in
      var picture = sc_picture()
      picture.struct_size = MemoryLayout<sc_picture>.size
      picture.width = UInt32(width)
      picture.height = UInt32(height)
      picture.format = format
      picture.planes.0 = samples.baseAddress
      picture.strides.0 = stride
      return try body(&picture)
    }
  }

  static var encoderSettings: sc_encoder_settings {
    var settings = sc_encoder_settings()
    settings.struct_size = MemoryLayout<sc_encoder_settings>.size
    return settings
  }

  static var decoderSettings: sc_decoder_settings {
    var settings = sc_decoder_settings()
    settings.struct_size = MemoryLayout<sc_decoder_settings>.size
    return settings
  }

  static func text(_ pointer: UnsafePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }

  @Test func versionsAndStatuses() {
    #expect(Int(sc_version()) == Int(SC_VERSION_MAJOR) << 16 | Int(SC_VERSION_MINOR) << 8 | Int(SC_VERSION_PATCH))
    #expect(sc_abi_version() == UInt32(SC_ABI_VERSION))
    var texts: Set<String> = []
    let all = [
      SC_OK, SC_ERROR_ARGUMENT, SC_ERROR_LAYOUT, SC_ERROR_RATE_POINT, SC_ERROR_ENTROPY, SC_ERROR_BUFFER,
      SC_ERROR_SEGMENT_ROWS, SC_ERROR_TARGET, SC_ERROR_NOT_A_MODEL, SC_ERROR_MODEL_TRUNCATED, SC_ERROR_MODEL_CHECKSUM,
      SC_ERROR_MODEL_INVALID, SC_ERROR_MODEL_OVERFLOW, SC_ERROR_NOT_A_BITSTREAM, SC_ERROR_VERSION, SC_ERROR_TRUNCATED,
      SC_ERROR_CHECKSUM, SC_ERROR_INVALID, SC_ERROR_OTHER_MODEL, SC_ERROR_TOO_LARGE, SC_ERROR_CANCELLED,
      SC_ERROR_MEMORY, SC_ERROR_MODEL_KIND, SC_ERROR_REFERENCE, SC_ERROR_FRAME,
    ]
    for status in all { texts.insert(Self.text(sc_status_string(status))) }
    #expect(texts.count == all.count)
    #expect(Self.text(sc_status_string(sc_status(9999))) == "unknown status")
  }

  @Test func models() throws {
    var model: OpaquePointer?
    #expect(sc_model_create_embedded(&model) == SC_OK)
    #expect(sc_model_id(model) == Fixtures.embedded.id)
    #expect(sc_model_rate_points(model) == UInt32(Fixtures.embedded.ratePoints.count))
    #expect(sc_model_has_entropy(model, SC_ENTROPY_BEST) == 1)
    sc_model_destroy(model)

    var message = [CChar](repeating: 0x55, count: 32)
    var bytes = Fixtures.tinyBytes
    bytes[bytes.count / 2] ^= 1
    #expect(sc_model_create(bytes, bytes.count, &model, &message, 32) == SC_ERROR_MODEL_CHECKSUM)
    #expect(model == nil)
    // Cut to the buffer, and terminated.
    #expect(message[31] == 0 && Self.text(message).hasPrefix("section "))
    #expect(sc_model_create(bytes, 100, &model, &message, 32) == SC_ERROR_MODEL_TRUNCATED)
    #expect(sc_model_create(bytes, 3, &model, &message, 1) == SC_ERROR_NOT_A_MODEL && message[0] == 0)
    #expect(sc_model_create(nil, 3, &model, &message, 32) == SC_ERROR_ARGUMENT)
    #expect(sc_model_create(bytes, 3, nil, &message, 32) == SC_ERROR_ARGUMENT)
    #expect(sc_model_create_embedded(nil) == SC_ERROR_ARGUMENT)
    var file = ModelTests.small()
    file.arrays[1].values = .i32([Int32.max, 0, 0, 0])
    bytes = file.file()
    #expect(sc_model_create(bytes, bytes.count, &model, nil, 0) == SC_ERROR_MODEL_OVERFLOW)
    file = ModelTests.small()
    file.graphs[0].layers[0].inputs = [7]
    bytes = file.file()
    #expect(sc_model_create(bytes, bytes.count, &model, nil, 0) == SC_ERROR_MODEL_INVALID)
    sc_model_destroy(nil)
    #expect(sc_model_id(nil) == 0 && sc_model_rate_points(nil) == 0 && sc_model_has_entropy(nil, SC_ENTROPY_BEST) == 0)
  }

  /// The same bytes and pixels as the Swift interface, with strides, while the model is already destroyed.
  @Test(arguments: [SC_PIXEL_GREY, SC_PIXEL_RGB, SC_PIXEL_RGBA, SC_PIXEL_BGRA]) func roundTrip(
    _ format: sc_pixel_format
  ) throws {
    let model = try Self.makeModel()
    var random = SplitMix(5)
    let channels = format == SC_PIXEL_GREY ? 1 : 3
    let picture = Fixtures.randomPicture(23, 35, channels, &random)
    // Where a pixel's components lie.
    let places = format == SC_PIXEL_BGRA ? [2, 1, 0] : Array(0..<channels)
    let pixel = format == SC_PIXEL_RGBA || format == SC_PIXEL_BGRA ? 4 : channels
    let row = picture.width * pixel
    let stride = row + 9
    var padded = [UInt8](repeating: 0xff, count: stride * picture.height)
    for y in 0..<picture.height {
      for x in 0..<picture.width {
        for c in 0..<channels {
          padded[y * stride + x * pixel + places[c]] = picture.samples[(y * picture.width + x) * channels + c]
        }
      }
    }

    var settings = Self.encoderSettings
    settings.rate_point = 1
    settings.rate_fraction = 19
    settings.segment_rows = 8
    settings.threads = 3
    var encoder: OpaquePointer?
    var decoder: OpaquePointer?
    #expect(sc_encoder_create(model, &settings, &encoder) == SC_OK)
    #expect(sc_decoder_create(model, nil, &decoder) == SC_OK)
    sc_model_destroy(model)

    var bytes: UnsafeMutablePointer<UInt8>?
    var size = 0
    Self.withPicture(&padded, 23, 35, format, stride: stride) {
      #expect(sc_encode(encoder, &$0, &bytes, &size) == SC_OK)
    }
    let stream = Array(UnsafeBufferPointer(start: bytes, count: size))
    sc_free(bytes)
    let swift = Encoder(model: Fixtures.tiny)
    swift.segmentRows = 8
    let encoded = try swift.encode(picture, EncoderSettings(position: RatePosition(ratePoint: 1, fraction: 19)))
    #expect(stream == encoded.bytes)

    var header = sc_header()
    header.struct_size = MemoryLayout<sc_header>.size
    #expect(sc_read_header(stream, 64, &header) == SC_OK)
    #expect(header.width == 23 && header.height == 35)
    #expect(header.format == (channels == 1 ? SC_PIXEL_GREY : SC_PIXEL_RGB))
    #expect(header.rate_point == 1 && header.rate_fraction == 19 && header.model_id == Fixtures.tiny.shortID)
    #expect(header.segments == 2 && header.segment_rows == 8)
    #expect(header.entropy == SC_ENTROPY_STATIC)

    var out = [UInt8](repeating: 0xdd, count: stride * picture.height)
    Self.withPicture(&out, 23, 35, format, stride: stride) {
      #expect(sc_decode(decoder, stream, stream.count, &$0) == SC_OK)
    }
    #expect(Self.text(sc_decoder_message(decoder)).isEmpty)
    for y in 0..<picture.height {
      for x in 0..<picture.width {
        for c in 0..<channels {
          #expect(
            out[y * stride + x * pixel + places[c]]
              == encoded.reconstruction!.samples[(y * picture.width + x) * channels + c])
        }
        if pixel == 4 { #expect(out[y * stride + x * 4 + 3] == 255) }
      }
      #expect(out[(y * stride + row)..<((y + 1) * stride)].allSatisfy { $0 == 0xdd })
    }

    // A failure leaves the samples alone.
    let before = out
    var damaged = stream
    damaged[stream.count / 2] ^= 4
    Self.withPicture(&out, 23, 35, format, stride: stride) { target in
      for (count, status) in [
        (0, SC_ERROR_TRUNCATED), (10, SC_ERROR_TRUNCATED), (stream.count - 1, SC_ERROR_TRUNCATED),
      ] {
        #expect(sc_decode(decoder, stream, count, &target) == status)
        #expect(!Self.text(sc_decoder_message(decoder)).isEmpty)
      }
      #expect(sc_decode(decoder, damaged, damaged.count, &target) == SC_ERROR_CHECKSUM)
      target.width -= 1
      #expect(sc_decode(decoder, stream, stream.count, &target) == SC_ERROR_LAYOUT)
      target.width += 1
      target.strides.0 = row - 1
      #expect(sc_decode(decoder, stream, stream.count, &target) == SC_ERROR_LAYOUT)
      target.strides.0 = Int.max
      #expect(sc_decode(decoder, stream, stream.count, &target) == SC_ERROR_LAYOUT)
    }
    #expect(out == before)
    sc_encoder_destroy(encoder)
    sc_decoder_destroy(decoder)
  }

  @Test func wrongArguments() throws {
    let model = try Self.makeModel()
    defer { sc_model_destroy(model) }
    var handle: OpaquePointer? = model
    var settings = Self.encoderSettings
    settings.rate_point = 3
    #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_RATE_POINT && handle == nil)
    settings.rate_point = 2
    settings.rate_fraction = 1
    #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_RATE_POINT && handle == nil)
    settings.rate_point = 0
    settings.rate_fraction = 32
    #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_RATE_POINT)
    settings = Self.encoderSettings
    settings.target = sc_target(9)
    #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_ARGUMENT)
    let outside = [-1, Double.nan, .infinity]
    for (target, values) in [
      (SC_TARGET_PSNR, outside), (SC_TARGET_QUALITY, outside + [100.1]), (SC_TARGET_MAX_ERROR, outside + [16, 0.5]),
    ] {
      settings.target = target
      for value in values {
        settings.target_value = value
        #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_ARGUMENT)
      }
    }
    settings = Self.encoderSettings
    settings.entropy = SC_ENTROPY_WEIGHTED
    #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_ENTROPY)
    settings.entropy = sc_entropy_kind(77)
    #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_ENTROPY)
    settings = Self.encoderSettings
    for rows: UInt32 in [4, 2048] {
      settings.segment_rows = rows
      #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_SEGMENT_ROWS)
    }
    settings = Self.encoderSettings
    settings.struct_size = 0
    #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_ARGUMENT)
    settings.struct_size = -1
    #expect(sc_encoder_create(model, &settings, &handle) == SC_ERROR_ARGUMENT)
    #expect(sc_encoder_create(nil, nil, &handle) == SC_ERROR_ARGUMENT)
    #expect(sc_encoder_create(model, nil, nil) == SC_ERROR_ARGUMENT)
    #expect(sc_decoder_create(nil, nil, &handle) == SC_ERROR_ARGUMENT)

    var encoder: OpaquePointer?
    var decoder: OpaquePointer?
    #expect(sc_encoder_create(model, nil, &encoder) == SC_OK)
    var limited = Self.decoderSettings
    limited.max_pixels = 15
    #expect(sc_decoder_create(model, &limited, &decoder) == SC_OK)
    settings = Self.encoderSettings
    settings.rate_point = 200
    #expect(sc_encoder_configure(encoder, &settings) == SC_ERROR_RATE_POINT)
    #expect(Self.text(sc_encoder_message(encoder)).contains("200"))

    let picture = Fixtures.formulaPicture(width: 4, height: 4)
    var samples = picture.samples
    var size = 99
    var bytes: [UInt8] = []
    Self.withPicture(&samples, 4, 4, SC_PIXEL_RGB) { source in
      #expect(sc_encode_into(encoder, &source, nil, 0, &size) == SC_ERROR_BUFFER && size > 30)
      bytes = [UInt8](repeating: 7, count: size)
      #expect(sc_encode_into(encoder, &source, &bytes, size - 1, &size) == SC_ERROR_BUFFER)
      #expect(bytes.allSatisfy { $0 == 7 })
      #expect(sc_encode_into(encoder, &source, &bytes, size, &size) == SC_OK)
      let good = source
      for (width, height, format) in [
        (0, 4, SC_PIXEL_RGB), (4, 0, SC_PIXEL_RGB), (65536, 1, SC_PIXEL_RGB), (4, 4, sc_pixel_format(0)),
        (4, 4, sc_pixel_format(7)),
      ] {
        source.width = UInt32(width)
        source.height = UInt32(height)
        source.format = format
        #expect(sc_encode_into(encoder, &source, &bytes, size, &size) == SC_ERROR_LAYOUT)
        #expect(size == 0)
      }
      source = good
      source.format = SC_PIXEL_NV12  // without its second plane
      #expect(sc_encode_into(encoder, &source, &bytes, size, &size) == SC_ERROR_ARGUMENT)
      source = good
      source.reserved = 1
      #expect(sc_encode_into(encoder, &source, &bytes, 1, &size) == SC_ERROR_ARGUMENT)
      source = good
      source.struct_size = 7
      #expect(sc_encode_into(encoder, &source, &bytes, 1, &size) == SC_ERROR_ARGUMENT)
      // Without the fields behind the size.
      source.struct_size = 8
      #expect(sc_encode_into(encoder, &source, &bytes, 1, &size) == SC_ERROR_LAYOUT)
      // A stride of -1 of which four bytes were read would be four gigabytes.
      source = good
      source.strides.2 = -1
      source.struct_size = MemoryLayout<sc_picture>.size - 4
      #expect(sc_encode_into(encoder, &source, &bytes, 1, &size) == SC_ERROR_ARGUMENT)
    }
    var out = [UInt8](repeating: 0, count: 48)
    var pointer: UnsafeMutablePointer<UInt8>?
    Self.withPicture(&out, 4, 4, SC_PIXEL_RGB) { target in
      #expect(sc_decode(decoder, bytes, bytes.count, &target) == SC_ERROR_TOO_LARGE)
      #expect(sc_encode(encoder, nil, &pointer, &size) == SC_ERROR_ARGUMENT && pointer == nil)
      #expect(sc_encode(encoder, &target, nil, &size) == SC_ERROR_ARGUMENT)
      #expect(sc_encode(nil, &target, &pointer, &size) == SC_ERROR_ARGUMENT)
      #expect(sc_decode(nil, bytes, 3, &target) == SC_ERROR_ARGUMENT)
      #expect(sc_decode(decoder, nil, 3, &target) == SC_ERROR_ARGUMENT)
      #expect(sc_decode(decoder, bytes, 3, nil) == SC_ERROR_ARGUMENT)
      target.planes.0 = nil
      #expect(sc_decode(decoder, bytes, bytes.count, &target) == SC_ERROR_ARGUMENT)
      #expect(sc_encode(encoder, &target, &pointer, &size) == SC_ERROR_ARGUMENT)
    }
    var header = sc_header()
    #expect(sc_read_header(bytes, 64, &header) == SC_ERROR_ARGUMENT)
    header.struct_size = MemoryLayout<sc_header>.size
    #expect(
      sc_read_header(nil, 64, &header) == SC_ERROR_ARGUMENT && sc_read_header(bytes, 64, nil) == SC_ERROR_ARGUMENT)
    #expect(sc_read_header([1, 2, 3, 4], 4, &header) == SC_ERROR_NOT_A_BITSTREAM)
    sc_encoder_destroy(encoder)
    sc_decoder_destroy(decoder)
    sc_encoder_destroy(nil)
    sc_decoder_destroy(nil)
    sc_free(nil)
  }

  @Test func qualitiesAndTargets() throws {
    let model = try Self.makeModel()
    defer { sc_model_destroy(model) }
    var (point, fraction): (UInt32, UInt32) = (7, 7)
    for quality in [-0.1, 100.1, Double.nan] {
      #expect(sc_model_quality(model, quality, &point, &fraction) == SC_ERROR_ARGUMENT && point == 7 && fraction == 7)
    }
    #expect(sc_model_quality(nil, 50, &point, &fraction) == SC_ERROR_ARGUMENT)
    #expect(sc_model_quality(model, 50, nil, &fraction) == SC_ERROR_ARGUMENT)
    for (quality, index) in [(0.0, 0), (25, 16), (50, 32), (99, 63), (100, 64)] {
      #expect(sc_model_quality(model, quality, &point, &fraction) == SC_OK && 32 * point + fraction == index)
    }

    let picture = Fixtures.formulaPicture(width: 60, height: 40)
    var samples = picture.samples
    var settings = Self.encoderSettings
    var encoder: OpaquePointer?
    #expect(sc_encoder_create(model, &settings, &encoder) == SC_OK)
    var bytes: UnsafeMutablePointer<UInt8>?
    var size = 0
    func encoded(_ target: sc_target, _ value: Double) -> [UInt8] {
      settings.target = target
      settings.target_value = value
      #expect(sc_encoder_configure(encoder, &settings) == SC_OK)
      Self.withPicture(&samples, picture.width, picture.height, SC_PIXEL_RGB) {
        #expect(sc_encode(encoder, &$0, &bytes, &size) == SC_OK)
      }
      defer { sc_free(bytes) }
      return Array(UnsafeBufferPointer(start: bytes, count: size))
    }
    for (target, value) in [(SC_TARGET_BYTES, 1300), (SC_TARGET_BITS_PER_PIXEL, 4.5), (SC_TARGET_PSNR, 5.9)] {
      let swift: EncoderTarget =
        target == SC_TARGET_BYTES ? .bytes(1300) : target == SC_TARGET_PSNR ? .psnr(5.9) : .bitsPerPixel(4.5)
      let expected = try encode(
        picture, model: Fixtures.tiny, settings: EncoderSettings(ratePoint: 0), target: swift)
      #expect(encoded(target, value) == expected.bytes)
    }
    for (target, value) in [(SC_TARGET_QUALITY, 90.0), (SC_TARGET_MAX_ERROR, 0), (SC_TARGET_MAX_ERROR, 3)] {
      let isQuality = target == SC_TARGET_QUALITY
      var swift = EncoderSettings(position: Fixtures.tiny.position(quality: isQuality ? value : 0))
      swift.holdsQuality = isQuality
      swift.maximumError = isQuality ? nil : Int(value)
      let expected = try encode(picture, model: Fixtures.tiny, settings: swift)
      #expect(encoded(target, value) == expected.bytes)
      if value == 0 { #expect(expected.reconstruction == picture) }
    }
    settings.target = SC_TARGET_BYTES
    settings.target_value = 20
    #expect(sc_encoder_configure(encoder, &settings) == SC_OK)
    Self.withPicture(&samples, picture.width, picture.height, SC_PIXEL_RGB) {
      #expect(sc_encode(encoder, &$0, &bytes, &size) == SC_ERROR_TARGET && bytes == nil && size == 0)
    }
    #expect(Self.text(sc_encoder_message(encoder)).contains("20"))
    sc_encoder_destroy(encoder)
  }

  /// The search through the C interface gives what it gives in Swift.
  @Test func searches() throws {
    let model = try Self.makeModel(Fixtures.bytes("models/tiny-hyper.scm"))
    defer { sc_model_destroy(model) }
    let picture = Fixtures.formulaPicture(width: 64, height: 48)
    var samples = picture.samples
    var settings = Self.encoderSettings
    settings.rate_point = 1
    var encoder: OpaquePointer?
    #expect(sc_encoder_create(model, &settings, &encoder) == SC_OK)
    defer { sc_encoder_destroy(encoder) }
    for (rdoq, expected) in [
      (SC_RDOQ_OFF, RDOQ.off), (SC_RDOQ_FAST, .fast), (SC_RDOQ_FULL, .full), (SC_RDOQ_QUICK, .quick),
    ] {
      for lambda in [0, 0.002] {
        settings.rdoq = rdoq
        settings.lambda = lambda
        #expect(sc_encoder_configure(encoder, &settings) == SC_OK)
        var bytes: UnsafeMutablePointer<UInt8>?
        var size = 0
        Self.withPicture(&samples, picture.width, picture.height, SC_PIXEL_RGB) {
          #expect(sc_encode(encoder, &$0, &bytes, &size) == SC_OK)
        }
        var swift = EncoderSettings(ratePoint: 1)
        swift.rdoq = expected
        swift.lambda = lambda > 0 ? lambda : nil
        let same =
          try encode(picture, model: Fixtures.tinyHyper, settings: swift).bytes
          == Array(UnsafeBufferPointer(start: bytes, count: size))
        #expect(same, "\(expected.name), lambda \(lambda)")
        sc_free(bytes)
      }
    }
    settings.rdoq = sc_rdoq(4)
    #expect(sc_encoder_configure(encoder, &settings) == SC_ERROR_ARGUMENT)
    settings.rdoq = SC_RDOQ_FAST
    for lambda in [-1, Double.infinity, .nan] {
      settings.lambda = lambda
      #expect(sc_encoder_configure(encoder, &settings) == SC_ERROR_ARGUMENT)
    }
    settings.lambda = 0
    settings.choose_domain = 2
    #expect(sc_encoder_configure(encoder, &settings) == SC_ERROR_ARGUMENT)
  }

  /// A later version's larger struct is taken if its new fields are zero, an earlier one's smaller without the fields.
  @Test func largerStructs() throws {
    let model = try Self.makeModel()
    defer { sc_model_destroy(model) }
    let size = MemoryLayout<sc_encoder_settings>.size
    let memory = UnsafeMutableRawPointer.allocate(byteCount: size + 16, alignment: 16)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: size + 16)
    memory.storeBytes(of: size + 16, as: Int.self)
    let settings = UnsafePointer(memory.bindMemory(to: sc_encoder_settings.self, capacity: 1))
    var encoder: OpaquePointer?
    #expect(sc_encoder_create(model, settings, &encoder) == SC_OK)
    sc_encoder_destroy(encoder)
    // Only size, rate point and entropy model count.
    memory.storeBytes(of: 16, as: Int.self)
    memory.storeBytes(of: 99, toByteOffset: 16, as: UInt32.self)
    #expect(sc_encoder_create(model, settings, &encoder) == SC_OK)
    sc_encoder_destroy(encoder)
    memory.storeBytes(of: 12, as: Int.self)
    #expect(sc_encoder_create(model, settings, &encoder) == SC_ERROR_ARGUMENT)
    memory.storeBytes(of: 0, toByteOffset: 16, as: UInt32.self)
    memory.storeBytes(of: size + 16, as: Int.self)
    memory.storeBytes(of: 1, toByteOffset: size + 15, as: UInt8.self)
    #expect(sc_encoder_create(model, settings, &encoder) == SC_ERROR_ARGUMENT)
  }
}
