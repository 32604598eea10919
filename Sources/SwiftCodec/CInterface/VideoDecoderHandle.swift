// SPDX-License-Identifier: BSD-3-Clause
public import CSwiftCodec

/// What a C handle of a stream's decoder points at.
final class VideoDecoderHandle {
  private let decoder: VideoDecoder
  let message = CText()
  private var hasFrame = false
  /// What the stream's frames and one packet take.
  private let memory: Int64

  /// Checks all before an object is made: see `VideoState.check`.
  static func make(
    _ intra: Model, _ inter: Model?, header: [UInt8], _ settings: sc_decoder_settings
  ) throws(CallFailure) -> VideoDecoderHandle {
    let limits = Limits(settings)
    try described { () throws(DecodeError) in
      var size = 0
      let read = try VideoHeader(parsing: header, size: &size)
      if let limit = limits.pixels, Int64(read.width) * Int64(read.height) > Int64(limit) {
        throw .tooLarge(width: read.width, height: read.height, limit: limit)
      }
      try VideoState.check(read, intra: intra, inter: inter)
    }
    var execution = Execution()
    execution.threads = threadCount(settings.threads)
    var used = 0
    let read = try described { () throws(DecodeError) in try VideoHeader(parsing: header, size: &used) }
    let memory = videoMemory(intra, inter, read.entropy, width: read.width, height: read.height, execution)
    try requireMemory(memory)
    let decoder = try described { () throws(DecodeError) in
      try VideoDecoder(header: header, intra: intra, inter: inter, execution: execution)
    }
    decoder.limits = limits
    return VideoDecoderHandle(decoder, memory: memory)
  }

  private init(_ decoder: VideoDecoder, memory: Int64) {
    self.decoder = decoder
    self.memory = memory
  }

  static func of(_ handle: OpaquePointer) -> VideoDecoderHandle {
    Unmanaged<VideoDecoderHandle>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
  }

  func decode(
    _ packet: UnsafePointer<UInt8>?, _ size: Int, _ frame: UnsafeMutablePointer<sc_video_frame>?
  ) throws(CallFailure) {
    guard let packet, let frame, size >= 0 else { throw CallFailure(SC_ERROR_ARGUMENT, "a pointer is NULL") }
    guard frame.pointee.struct_size >= MemoryLayout<sc_video_frame>.size else {
      throw CallFailure(SC_ERROR_ARGUMENT, "the struct_size of sc_video_frame is not set")
    }
    try requireMemory(memory + Int64(size))
    let bytes = Array(UnsafeBufferPointer(start: packet, count: size))
    let decoded: VideoFrame?
    do throws(CallFailure) {
      decoded = try described { () throws(DecodeError) in try decoder.decodeFrame(bytes) }
    } catch {
      hasFrame = false
      throw error
    }
    if decoded != nil { hasFrame = true }
    frame.pointee.has_frame = decoded == nil ? 0 : 1
    frame.pointee.is_intra = decoded?.isIntra == true ? 1 : 0
    frame.pointee.number = UInt64(decoded?.number ?? 0)
    let isLayer = decoded != nil && decoded?.position == nil
    frame.pointee.rate_point = isLayer ? .max : UInt32(decoded?.position?.ratePoint ?? 0)
    frame.pointee.rate_fraction = UInt32(decoded?.position?.fraction ?? 0)
  }

  func copyFrame(_ target: UnsafePointer<sc_picture>?) throws(CallFailure) {
    let target = try PictureArgument(target)
    try target.checkFrame(width: decoder.header.width, height: decoder.header.height)
    guard hasFrame else { throw CallFailure(SC_ERROR_REFERENCE, "the last packet gave no frame") }
    decoder.copyFrame(to: target.view)
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_read_video_header(
  _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ header: UnsafeMutablePointer<sc_video_header>!
) -> sc_status {
  guard let bytes, let header, size >= 0, header.pointee.struct_size >= MemoryLayout<sc_video_header>.size else {
    return SC_ERROR_ARGUMENT
  }
  do throws(DecodeError) {
    var used = 0
    let read = try VideoHeader(
      parsing: Array(UnsafeBufferPointer(start: bytes, count: min(size, VideoHeader.maximumSize))), size: &used)
    header.pointee.width = UInt32(read.width)
    header.pointee.height = UInt32(read.height)
    header.pointee.frame_rate_numerator = UInt32(clamping: read.rate.numerator)
    header.pointee.frame_rate_denominator = UInt32(clamping: read.rate.denominator)
    let colour = read.colour
    header.pointee.colour = (colour.primaries, colour.transfer, colour.matrix, colour.isFullRange ? 1 : 0)
    header.pointee.intra_model_id = read.intraModelID
    header.pointee.inter_model_id = read.interModelID ?? 0
    header.pointee.has_inter = read.interModelID == nil ? 0 : 1
    header.pointee.size = used
    return SC_OK
  } catch {
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_packet_size(
  _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ packetSize: UnsafeMutablePointer<Int>!,
  _ kind: UnsafeMutablePointer<sc_packet_kind>!
) -> sc_status {
  packetSize?.pointee = 0
  guard let bytes, let packetSize, size >= 0 else { return SC_ERROR_ARGUMENT }
  do throws(DecodeError) {
    let prefix = try VideoPacketPrefix(
      parsing: Array(UnsafeBufferPointer(start: bytes, count: min(size, VideoPacketPrefix.prefixSize))))
    packetSize.pointee = prefix.size
    switch prefix.tag {
    case .intraFrame, .intraLayer: kind?.pointee = SC_PACKET_INTRA
    case .interFrame, .interLayer: kind?.pointee = SC_PACKET_INTER
    case .index: kind?.pointee = SC_PACKET_INDEX
    case .end: kind?.pointee = SC_PACKET_END
    default: kind?.pointee = SC_PACKET_OTHER
    }
    return SC_OK
  } catch {
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_decoder_create(
  _ intra: OpaquePointer!, _ inter: OpaquePointer!, _ header: UnsafePointer<UInt8>!, _ size: Int,
  _ settings: UnsafePointer<sc_decoder_settings>!, _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> sc_status {
  out?.pointee = nil
  guard let intra, let header, let out, size >= 0 else { return SC_ERROR_ARGUMENT }
  do throws(CallFailure) {
    let settings = try copy(settings, zero: sc_decoder_settings(), "sc_decoder_settings")
    guard settings.reserved == 0 else { return SC_ERROR_ARGUMENT }
    let bytes = Array(UnsafeBufferPointer(start: header, count: min(size, VideoHeader.maximumSize)))
    out.pointee = retainedHandle(
      try VideoDecoderHandle.make(model(intra), inter.map { model($0) }, header: bytes, settings))
    return SC_OK
  } catch {
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_decoder_destroy(_ handle: OpaquePointer!) {
  guard let handle else { return }
  Unmanaged<VideoDecoderHandle>.fromOpaque(UnsafeRawPointer(handle)).release()
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_decoder_decode(
  _ handle: OpaquePointer!, _ packet: UnsafePointer<UInt8>!, _ size: Int, _ frame: UnsafeMutablePointer<sc_video_frame>!
) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let decoder = VideoDecoderHandle.of(handle)
  return status(decoder.message) { () throws(CallFailure) in try decoder.decode(packet, size, frame) }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_decoder_frame(_ handle: OpaquePointer!, _ picture: UnsafePointer<sc_picture>!) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let decoder = VideoDecoderHandle.of(handle)
  return status(decoder.message) { () throws(CallFailure) in try decoder.copyFrame(picture) }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_decoder_message(_ handle: OpaquePointer!) -> UnsafePointer<CChar>! {
  guard let handle else { return sc_status_string(SC_ERROR_ARGUMENT) }
  return UnsafePointer(VideoDecoderHandle.of(handle).message.pointer)
}
