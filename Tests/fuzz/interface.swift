// SPDX-License-Identifier: BSD-3-Clause
//
// The functions of swiftcodec.h, with arguments that an input's numbers choose.
internal import CSwiftCodec

/// A picture of the caller's memory, of a size that its fields say, and a call with it.
private func withPicture(
  _ numbers: inout Numbers, _ width: Int, _ height: Int, isFrame: Bool = false, _ body: (inout sc_picture) -> Void
) {
  var picture = sc_picture()
  picture.struct_size = numbers.structSize(MemoryLayout<sc_picture>.size)
  let format = isFrame && !numbers.rarely(8) ? 5 + numbers.u8() % 2 : numbers.u8() % 8
  picture.format = sc_pixel_format(rawValue: .init(format))
  picture.width = UInt32(width)
  picture.height = UInt32(height)
  picture.reserved = numbers.rarely(64) ? 1 : 0
  // As many bytes a pixel as any format takes.
  let pixel = format == 1 ? 3 : format == 2 || format == 3 ? 4 : 1
  let gap = numbers.u8() & 3
  let stride = width * pixel + gap
  // More than any struct smaller or larger than this one makes of it.
  let size = (width * 4 + 8) * (height + 2)
  let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 3 * size)
  for i in 0..<(3 * size) { memory[i] = UInt8(truncatingIfNeeded: 7 &* i &+ i >> 4) }
  defer { memory.deallocate() }
  let missing = numbers.u8()
  picture.planes = (
    missing == 31 ? nil : memory, missing == 32 ? nil : memory + size, missing == 33 ? nil : memory + 2 * size
  )
  picture.strides = (
    missing == 34 ? 1 : stride, missing == 35 ? Int.max : width + 1 + gap, missing == 36 ? -1 : width + 1 + gap
  )
  body(&picture)
}

/// Now and then told to end.
private func monitor(_ numbers: inout Numbers) -> sc_progress? {
  switch numbers.u8() & 7 {
  case 6: { _, _ in 0 }
  case 7: { _, done in done > 0.4 ? 1 : 0 }
  default: nil
  }
}

private func decoderSettings(_ numbers: inout Numbers) -> sc_decoder_settings {
  var settings = sc_decoder_settings()
  settings.struct_size = numbers.structSize(MemoryLayout<sc_decoder_settings>.size)
  settings.threads = UInt32(1 + numbers.u8() & 3)
  settings.reserved = numbers.rarely(64) ? 1 : 0
  settings.progress = monitor(&numbers)
  if numbers.rarely(4) {
    settings.max_pixels = numbers.number()
    settings.max_memory = numbers.number()
    settings.max_mac_per_pixel = numbers.number()
    settings.max_work = numbers.number()
  }
  return settings
}

func fuzzInterface(_ input: [UInt8]) {
  var numbers = Numbers(bytes: input)
  let handle = retainedHandle(models[numbers.u8() % 3])
  defer { sc_model_destroy(handle) }
  _ = sc_model_id(handle)
  _ = sc_model_has_entropy(handle, sc_entropy_kind(rawValue: .init(numbers.u8() & 7)))
  let count = sc_model_rate_points(handle)
  var (point, fraction) = (UInt32(0), UInt32(0))
  let quality = numbers.rarely(2) ? Double(bitPattern: numbers.u64()) : Double(numbers.u8())
  _ = sc_model_quality(handle, quality, &point, &fraction)
  precondition(point < count && fraction < 32, "a position that is none")
  var settings = sc_encoder_settings()
  settings.struct_size = numbers.structSize(MemoryLayout<sc_encoder_settings>.size)
  settings.rate_point = numbers.rarely(8) ? numbers.u32() : point
  settings.entropy = sc_entropy_kind(rawValue: .init(numbers.rarely(4) ? numbers.u8() & 7 : 0))
  settings.threads = UInt32(1 + numbers.u8() & 3)
  settings.segment_rows = numbers.rarely(4) ? numbers.u32() : 8
  settings.rate_fraction = numbers.rarely(4) ? UInt32(numbers.u8()) : fraction
  settings.target = sc_target(rawValue: .init(numbers.rarely(8) ? numbers.u8() & 7 : 0))
  settings.target_value = numbers.rarely(2) ? Double(bitPattern: numbers.u64()) : Double(numbers.u8())
  settings.rdoq = sc_rdoq(rawValue: .init(numbers.rarely(16) ? numbers.u8() & 7 : 0))
  settings.choose_domain = numbers.rarely(64) ? 1 : 0
  settings.lambda = numbers.rarely(4) ? Double(bitPattern: numbers.u64()) : 0
  settings.max_pixels = numbers.rarely(16) ? numbers.u64() : 0
  settings.progress = monitor(&numbers)
  var encoder: OpaquePointer?
  guard sc_encoder_create(handle, &settings, &encoder) == SC_OK, let encoder else { return }
  defer { sc_encoder_destroy(encoder) }
  _ = sc_encoder_set_metadata(
    encoder, sc_metadata(rawValue: .init(numbers.u8() & 15)), input, min(input.count, numbers.u8()))
  let (width, height) = (numbers.u8() & 31, numbers.u8() & 31)
  var out: UnsafeMutablePointer<UInt8>?
  var size = 0
  withPicture(&numbers, width, height) { _ = sc_encode(encoder, &$0, &out, &size) }
  _ = sc_encoder_message(encoder)
  defer { sc_free(out) }
  if numbers.rarely(4) {
    settings.rate_point = numbers.u32() & 3
    _ = sc_encoder_configure(encoder, &settings)
    var memory = [UInt8](repeating: 0, count: numbers.u8() * 16)
    var used = 0
    withPicture(&numbers, width, height) { _ = sc_encode_into(encoder, &$0, &memory, memory.count, &used) }
  }
  var bytes = Array(UnsafeBufferPointer(start: out, count: size))
  for _ in 0..<(numbers.u8() & 3) where !bytes.isEmpty {
    bytes[Int(numbers.u32()) % bytes.count] ^= UInt8(numbers.u8())
  }
  if numbers.rarely(2) { Mending.bitstream(&bytes) }
  var limits = decoderSettings(&numbers)
  var decoder: OpaquePointer?
  guard sc_decoder_create(handle, &limits, &decoder) == SC_OK, let decoder else { return }
  defer { sc_decoder_destroy(decoder) }
  var header = sc_header()
  header.struct_size = MemoryLayout<sc_header>.size
  _ = sc_read_header(bytes, bytes.count, &header)
  var data: UnsafePointer<UInt8>?
  var dataSize = 0
  _ = sc_read_metadata(bytes, bytes.count, sc_metadata(rawValue: .init(numbers.u8() & 15)), &data, &dataSize)
  _ = sc_has_alpha(bytes, bytes.count)
  withPicture(&numbers, width, height) { _ = sc_decode(decoder, bytes, bytes.count, &$0) }
  var region = sc_region(
    x: numbers.u32() & 31, y: numbers.u32() & 31, width: numbers.u32() & 31, height: numbers.u32() & 31)
  withPicture(&numbers, Int(region.width), Int(region.height)) {
    _ = sc_decode_region(decoder, bytes, bytes.count, &region, &$0)
  }
  _ = sc_decoder_message(decoder)
}

func fuzzStreams(_ input: [UInt8]) {
  var numbers = Numbers(bytes: input)
  let (intra, inter) = (retainedHandle(models[2]), retainedHandle(interModel))
  defer {
    sc_model_destroy(intra)
    sc_model_destroy(inter)
  }
  let second = numbers.rarely(8) ? nil : numbers.rarely(16) ? intra : inter
  let (width, height) = (1 + numbers.u8() & 31, 1 + numbers.u8() & 31)
  var settings = sc_video_settings()
  settings.struct_size = numbers.structSize(MemoryLayout<sc_video_settings>.size)
  settings.width = numbers.rarely(16) ? numbers.u32() & 0x3ff : UInt32(width)
  settings.height = UInt32(height)
  settings.rate_value = numbers.rarely(4) ? Double(bitPattern: numbers.u64()) : Double(numbers.u8() & 63)
  settings.rate = sc_rate_control(rawValue: .init(numbers.rarely(8) ? numbers.u8() & 3 : numbers.u8() & 1))
  settings.intra_period = numbers.rarely(4) ? numbers.u32() : UInt32(numbers.u8() & 3)
  settings.frame_rate_numerator = numbers.rarely(8) ? numbers.u32() : UInt32(numbers.u8())
  settings.frame_rate_denominator = numbers.rarely(8) ? numbers.u32() : UInt32(numbers.u8())
  settings.colour = (UInt8(numbers.u8()), UInt8(numbers.u8()), UInt8(numbers.u8()), UInt8(numbers.rarely(16) ? 9 : 1))
  settings.rdoq = sc_rdoq(rawValue: .init(numbers.rarely(16) ? numbers.u8() & 7 : 0))
  settings.intra_rdoq = sc_rdoq(rawValue: .init(numbers.rarely(16) ? numbers.u8() & 7 : 0))
  settings.motion_effort = UInt32(numbers.rarely(16) ? numbers.u8() : numbers.u8() & 3)
  settings.keep_scenes = UInt32(numbers.rarely(16) ? numbers.u8() : numbers.u8() & 1)
  settings.entropy = sc_entropy_kind(rawValue: .init(numbers.rarely(8) ? numbers.u8() & 7 : 0))
  settings.segment_rows = numbers.rarely(8) ? numbers.u32() : 8 * UInt32(numbers.u8() & 3)
  settings.threads = UInt32(1 + numbers.u8() & 1)
  var encoder: OpaquePointer?
  guard sc_video_encoder_create(intra, second, &settings, &encoder) == SC_OK, let encoder else { return }
  defer { sc_video_encoder_destroy(encoder) }
  var bytes: UnsafePointer<UInt8>?
  var size = 0
  guard sc_video_encoder_header(encoder, &bytes, &size) == SC_OK else { fatalError("a stream without a header") }
  var header = Array(UnsafeBufferPointer(start: bytes, count: size))
  var packets: [[UInt8]] = []
  for _ in 0..<(1 + numbers.u8() & 3) {
    var isIntra: Int32 = 0
    withPicture(&numbers, width, height, isFrame: true) {
      if sc_video_encoder_encode(encoder, &$0, &bytes, &size, &isIntra) == SC_OK {
        packets.append(Array(UnsafeBufferPointer(start: bytes, count: size)))
      }
      _ = sc_video_encoder_frame(encoder, &$0)
    }
    _ = sc_video_encoder_message(encoder)
  }
  if numbers.rarely(2), sc_video_encoder_finish(encoder, &bytes, &size) == SC_OK {
    packets.append(Array(UnsafeBufferPointer(start: bytes, count: size)))
  }
  for _ in 0..<(numbers.u8() & 3) where !packets.isEmpty {
    let i = Int(numbers.u32()) % packets.count
    packets[i][Int(numbers.u32()) % packets[i].count] ^= UInt8(numbers.u8())
  }
  if numbers.rarely(8) { header[Int(numbers.u32()) % header.count] ^= UInt8(numbers.u8()) }
  var read = sc_video_header()
  read.struct_size = numbers.structSize(MemoryLayout<sc_video_header>.size)
  _ = sc_read_video_header(header, header.count, &read)
  var limits = decoderSettings(&numbers)
  var decoder: OpaquePointer?
  guard sc_video_decoder_create(intra, second, header, header.count, &limits, &decoder) == SC_OK, let decoder
  else { return }
  defer { sc_video_decoder_destroy(decoder) }
  for packet in packets {
    var packetSize = 0
    var kind = SC_PACKET_OTHER
    _ = sc_video_packet_size(packet, packet.count, &packetSize, &kind)
    let count = numbers.rarely(16) ? Int(numbers.u32()) % (packet.count + 1) : packet.count
    var frame = sc_video_frame()
    frame.struct_size = numbers.structSize(MemoryLayout<sc_video_frame>.size)
    _ = sc_video_decoder_decode(decoder, packet, count, &frame)
    withPicture(&numbers, width, height, isFrame: true) { _ = sc_video_decoder_frame(decoder, &$0) }
    _ = sc_video_decoder_message(decoder)
  }
}
