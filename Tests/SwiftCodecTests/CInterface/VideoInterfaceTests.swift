// SPDX-License-Identifier: BSD-3-Clause

import CSwiftCodec
import Testing

@testable import SwiftCodec
@testable import SwiftCodecDefaultModel

/// Streams through swiftcodec.h: what encoders and decoders exchange, seeking, errors.
@Suite struct VideoInterfaceTests {
  static let (width, height) = (45, 37)

  /// A frame of a moving pattern: I420 without gaps.
  static func frame(_ number: Int) -> [UInt8] {
    let (w, h) = ((width + 1) / 2, (height + 1) / 2)
    var samples: [UInt8] = []
    for y in 0..<height { for x in 0..<width { samples.append(UInt8(40 + (3 * (x + number) + 5 * y) % 160)) } }
    for p in 0..<2 {
      for y in 0..<h { for x in 0..<w { samples.append(UInt8(100 + (x + number + 2 * y + 9 * p) % 50)) } }
    }
    return samples
  }

  /// Calls with a C picture of I420 samples, or of NV12 with the chroma in their place.
  static func withFrame<T>(
    _ samples: inout [UInt8], _ format: sc_pixel_format = SC_PIXEL_I420, _ body: (inout sc_picture) throws -> T
  ) rethrows -> T {
    let (w, h) = ((width + 1) / 2, (height + 1) / 2)
    return try CInterfaceTests.withPicture(&samples, width, height, format) { picture in
      picture.planes.1 = picture.planes.0.map { $0 + width * height }
      if format == SC_PIXEL_I420 { picture.planes.2 = picture.planes.1.map { $0 + w * h } }
      return try body(&picture)
    }
  }

  static var settings: sc_video_settings {
    var settings = sc_video_settings()
    settings.struct_size = MemoryLayout<sc_video_settings>.size
    settings.width = UInt32(width)
    settings.height = UInt32(height)
    settings.rate_value = 50
    settings.threads = 1
    settings.keep_scenes = 1
    return settings
  }

  /// The embedded ones.
  static func models() throws -> (OpaquePointer, OpaquePointer) {
    var (intra, inter): (OpaquePointer?, OpaquePointer?)
    #expect(sc_model_create_embedded(&intra) == SC_OK)
    #expect(sc_model_create_embedded_inter(&inter) == SC_OK)
    return (try #require(intra), try #require(inter))
  }

  @Test func streams() throws {
    let (intra, inter) = try Self.models()
    var settings = Self.settings
    settings.intra_period = 3
    settings.frame_rate_numerator = 30000
    settings.frame_rate_denominator = 1001
    settings.colour = (1, 13, 6, 1)
    settings.segment_rows = 8
    var encoder: OpaquePointer?
    #expect(sc_video_encoder_create(intra, inter, &settings, &encoder) == SC_OK)
    var bytes: UnsafePointer<UInt8>?
    var size = 0
    #expect(sc_video_encoder_header(encoder, &bytes, &size) == SC_OK)
    let start = Array(UnsafeBufferPointer(start: bytes, count: size))
    var stream = start
    var reconstructions: [[UInt8]] = []
    for number in 0..<5 {
      var samples = Self.frame(number)
      var isIntra: Int32 = 9
      Self.withFrame(&samples) {
        #expect(sc_video_encoder_encode(encoder, &$0, &bytes, &size, &isIntra) == SC_OK)
      }
      #expect(isIntra == (number % 3 == 0 ? 1 : 0))
      stream += Array(UnsafeBufferPointer(start: bytes, count: size))
      Self.withFrame(&samples) { #expect(sc_video_encoder_frame(encoder, &$0) == SC_OK) }
      reconstructions.append(samples)
    }
    #expect(sc_video_encoder_finish(encoder, &bytes, &size) == SC_OK)
    stream += Array(UnsafeBufferPointer(start: bytes, count: size))
    #expect(sc_video_encoder_finish(encoder, &bytes, &size) == SC_ERROR_ARGUMENT && bytes == nil && size == 0)
    sc_video_encoder_destroy(encoder)

    var header = sc_video_header()
    header.struct_size = MemoryLayout<sc_video_header>.size
    #expect(sc_read_video_header(stream, stream.count, &header) == SC_OK)
    #expect(header.size == start.count && header.width == Self.width && header.height == Self.height)
    #expect(header.frame_rate_numerator == 30000 && header.frame_rate_denominator == 1001 && header.has_inter == 1)
    #expect(header.colour.0 == 1 && header.colour.1 == 13 && header.colour.2 == 6 && header.colour.3 == 1)
    #expect(UInt64(header.intra_model_id) == sc_model_id(intra) >> 32)
    #expect(UInt64(header.inter_model_id) == sc_model_id(inter) >> 32)

    var decoder: OpaquePointer?
    #expect(sc_video_decoder_create(intra, inter, stream, stream.count, nil, &decoder) == SC_OK)
    defer { sc_video_decoder_destroy(decoder) }
    sc_model_destroy(intra)
    sc_model_destroy(inter)
    // The packets, found by their sizes.
    var packets: [(kind: sc_packet_kind, bytes: [UInt8])] = []
    var at = header.size
    while at < stream.count {
      let rest = Array(stream[at...])
      var (packet, kind) = (0, SC_PACKET_OTHER)
      #expect(sc_video_packet_size(rest, 1, &packet, &kind) == SC_ERROR_TRUNCATED && packet == 0)
      #expect(sc_video_packet_size(rest, 9, &packet, &kind) == SC_OK && packet <= rest.count)
      packets.append((kind, Array(rest[..<packet])))
      at += packet
    }
    let kinds = [
      SC_PACKET_INTRA, SC_PACKET_INTER, SC_PACKET_INTER, SC_PACKET_INTRA, SC_PACKET_INTER, SC_PACKET_INDEX,
      SC_PACKET_END,
    ]
    #expect(packets.map { $0.kind } == kinds)

    var frame = sc_video_frame()
    frame.struct_size = MemoryLayout<sc_video_frame>.size
    func decode(_ i: Int, _ packet: [UInt8]? = nil) -> sc_status {
      let packet = packet ?? packets[i].bytes
      return sc_video_decoder_decode(decoder, packet, packet.count, &frame)
    }
    var out = Self.frame(0)
    Self.withFrame(&out) { #expect(sc_video_decoder_frame(decoder, &$0) == SC_ERROR_REFERENCE) }
    #expect(decode(1) == SC_ERROR_REFERENCE)
    #expect(!CInterfaceTests.text(sc_video_decoder_message(decoder)).isEmpty)
    for number in 0..<5 {
      #expect(decode(number) == SC_OK && frame.has_frame == 1 && frame.number == number)
      #expect(frame.is_intra == (number % 3 == 0 ? 1 : 0))
      Self.withFrame(&out) { #expect(sc_video_decoder_frame(decoder, &$0) == SC_OK) }
      #expect(out == reconstructions[number])
    }
    #expect(decode(5) == SC_OK && frame.has_frame == 0)
    #expect(decode(6) == SC_OK && frame.has_frame == 0)
    // Seeking, and a frame that is left out.
    #expect(decode(3) == SC_OK && decode(4) == SC_OK)
    Self.withFrame(&out) { #expect(sc_video_decoder_frame(decoder, &$0) == SC_OK) }
    #expect(out == reconstructions[4])
    #expect(decode(0) == SC_OK && decode(2) == SC_ERROR_FRAME && decode(1) == SC_ERROR_REFERENCE)
    // NV12 has the same samples.
    #expect(decode(3) == SC_OK)
    Self.withFrame(&out, SC_PIXEL_NV12) { #expect(sc_video_decoder_frame(decoder, &$0) == SC_OK) }
    let chroma = reconstructions[3][(Self.width * Self.height)...]
    let half = chroma.count / 2
    #expect(
      (0..<half).allSatisfy {
        out[Self.width * Self.height + 2 * $0] == chroma[chroma.startIndex + $0]
          && out[Self.width * Self.height + 2 * $0 + 1] == chroma[chroma.startIndex + half + $0]
      })
    var damaged = packets[3].bytes
    damaged[damaged.count / 2] ^= 1
    #expect(decode(3, damaged) == SC_ERROR_CHECKSUM)
    Self.withFrame(&out) { #expect(sc_video_decoder_frame(decoder, &$0) == SC_ERROR_REFERENCE) }
    #expect(decode(3, Array(damaged.dropLast())) == SC_ERROR_TRUNCATED)
    #expect(sc_video_decoder_decode(decoder, nil, 4, &frame) == SC_ERROR_ARGUMENT)
    frame.struct_size = 0
    #expect(decode(3) == SC_ERROR_ARGUMENT)
    CInterfaceTests.withPicture(&out, 8, 8, SC_PIXEL_RGB) {
      #expect(sc_video_decoder_frame(decoder, &$0) == SC_ERROR_LAYOUT)
    }
  }

  /// Frames without networks have no rate point.
  @Test func losslessStreams() throws {
    let (intra, inter) = try Self.models()
    defer {
      sc_model_destroy(intra)
      sc_model_destroy(inter)
    }
    var settings = Self.settings
    (settings.rate, settings.rate_value, settings.keep_scenes) = (SC_RATE_MAX_ERROR, 0, 1)
    var encoder: OpaquePointer?
    #expect(sc_video_encoder_create(intra, inter, &settings, &encoder) == SC_OK)
    defer { sc_video_encoder_destroy(encoder) }
    var bytes: UnsafePointer<UInt8>?
    var size = 0
    #expect(sc_video_encoder_header(encoder, &bytes, &size) == SC_OK)
    var decoder: OpaquePointer?
    #expect(sc_video_decoder_create(intra, inter, bytes, size, nil, &decoder) == SC_OK)
    defer { sc_video_decoder_destroy(decoder) }
    for number in 0..<3 {
      var samples = Self.frame(number)
      Self.withFrame(&samples) { #expect(sc_video_encoder_encode(encoder, &$0, &bytes, &size, nil) == SC_OK) }
      var kind = SC_PACKET_OTHER
      var packet = 0
      #expect(sc_video_packet_size(bytes, size, &packet, &kind) == SC_OK && packet == size)
      #expect(kind == (number == 0 ? SC_PACKET_INTRA : SC_PACKET_INTER))
      var frame = sc_video_frame()
      frame.struct_size = MemoryLayout<sc_video_frame>.size
      #expect(sc_video_decoder_decode(decoder, bytes, size, &frame) == SC_OK)
      #expect(frame.rate_point == .max && frame.rate_fraction == 0 && frame.number == number)
      var decoded = Self.frame(9)
      Self.withFrame(&decoded) { #expect(sc_video_decoder_frame(decoder, &$0) == SC_OK) }
      #expect(decoded == samples)
    }
  }

  @Test func wrongArguments() throws {
    let (intra, inter) = try Self.models()
    defer {
      sc_model_destroy(intra)
      sc_model_destroy(inter)
    }
    var encoder: OpaquePointer?
    func create(_ change: (inout sc_video_settings) -> Void) -> sc_status {
      var settings = Self.settings
      change(&settings)
      return sc_video_encoder_create(intra, inter, &settings, &encoder)
    }
    #expect(create { $0.width = 0 } == SC_ERROR_LAYOUT)
    #expect(create { $0.height = 70000 } == SC_ERROR_LAYOUT)
    #expect(create { ($0.width, $0.height) = (65535, 65535) } == SC_ERROR_LAYOUT)
    #expect(create { $0.rate_value = 101 } == SC_ERROR_ARGUMENT)
    #expect(create { $0.rate_value = .nan } == SC_ERROR_ARGUMENT)
    #expect(create { $0.rate = sc_rate_control(7) } == SC_ERROR_ARGUMENT)
    #expect(create { ($0.rate, $0.rate_value) = (SC_RATE_BITRATE, 0) } == SC_ERROR_ARGUMENT)
    for error in [-1, 16, 0.5, Double.nan] {
      #expect(create { ($0.rate, $0.rate_value) = (SC_RATE_MAX_ERROR, error) } == SC_ERROR_ARGUMENT)
    }
    #expect(create { $0.rdoq = sc_rdoq(9) } == SC_ERROR_ARGUMENT)
    #expect(create { $0.motion_effort = 4 } == SC_ERROR_ARGUMENT)
    #expect(create { $0.keep_scenes = 2 } == SC_ERROR_ARGUMENT)
    #expect(create { $0.colour = (1, 1, 1, 2) } == SC_ERROR_ARGUMENT)
    #expect(create { $0.segment_rows = 12 } == SC_ERROR_SEGMENT_ROWS)
    #expect(create { $0.segment_rows = .max } == SC_ERROR_SEGMENT_ROWS)
    #expect(create { $0.intra_period = .max } == SC_ERROR_ARGUMENT)
    #expect(create { $0.intra_rdoq = sc_rdoq(rawValue: 9) } == SC_ERROR_ARGUMENT)
    #expect(create { $0.struct_size = 0 } == SC_ERROR_ARGUMENT)
    #expect(sc_video_encoder_create(intra, inter, nil, &encoder) == SC_ERROR_ARGUMENT && encoder == nil)
    // Models in each other's place.
    var settings = Self.settings
    #expect(sc_video_encoder_create(inter, intra, &settings, &encoder) != SC_OK)
    #expect(sc_video_encoder_create(intra, nil, &settings, &encoder) == SC_OK)
    defer { sc_video_encoder_destroy(encoder) }
    var bytes: UnsafePointer<UInt8>?
    var size = 0
    var samples = Self.frame(0)
    Self.withFrame(&samples) { frame in
      #expect(sc_video_encoder_frame(encoder, &frame) == SC_ERROR_REFERENCE)
      #expect(sc_video_encoder_encode(encoder, &frame, &bytes, &size, nil) == SC_OK && size > 0)
      #expect(sc_video_encoder_encode(encoder, nil, &bytes, &size, nil) == SC_ERROR_ARGUMENT && bytes == nil)
      frame.width -= 1
      #expect(sc_video_encoder_encode(encoder, &frame, &bytes, &size, nil) == SC_ERROR_LAYOUT)
      frame.format = SC_PIXEL_GREY
      #expect(sc_video_encoder_encode(encoder, &frame, &bytes, &size, nil) == SC_ERROR_LAYOUT)
      #expect(!CInterfaceTests.text(sc_video_encoder_message(encoder)).isEmpty)
    }
    #expect(sc_video_encoder_header(encoder, &bytes, &size) == SC_OK)
    let header = Array(UnsafeBufferPointer(start: bytes, count: size))
    var decoder: OpaquePointer?
    for count in 0..<header.count {
      #expect(sc_video_decoder_create(intra, nil, header, count, nil, &decoder) == SC_ERROR_TRUNCATED)
    }
    var limits = CInterfaceTests.decoderSettings
    limits.max_pixels = UInt64(Self.width * Self.height - 1)
    #expect(sc_video_decoder_create(intra, nil, header, header.count, &limits, &decoder) == SC_ERROR_TOO_LARGE)
    #expect(sc_video_decoder_create(inter, nil, header, header.count, nil, &decoder) == SC_ERROR_OTHER_MODEL)
    #expect(sc_video_decoder_create(nil, nil, header, header.count, nil, &decoder) == SC_ERROR_ARGUMENT)
    sc_video_encoder_destroy(nil)
    sc_video_decoder_destroy(nil)
    #expect(sc_model_create_embedded_inter(nil) == SC_ERROR_ARGUMENT)
    var model: OpaquePointer?
    #expect(sc_model_create_embedded_inter(&model) == SC_OK)
    #expect(try sc_model_id(model) == Model.embeddedInter().id)
    sc_model_destroy(model)
  }
}
