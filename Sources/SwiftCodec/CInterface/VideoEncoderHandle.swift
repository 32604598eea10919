// SPDX-License-Identifier: BSD-3-Clause
public import CSwiftCodec

/// What a C handle of a stream's encoder points at.
final class VideoEncoderHandle {
  private let encoder: VideoEncoder
  private let width: Int
  private let height: Int
  let message = CText()
  private let header: CBytes
  /// What the last call gave.
  private var last = CBytes([])
  private var isFinished = false
  /// What the stream's frames and one packet take.
  private let memory: Int64
  private var hasFrame = false

  /// Checks all before an object is made: see `VideoState.check`.
  static func make(
    _ intra: Model, _ inter: Model?, _ pointer: UnsafePointer<sc_video_settings>?
  ) throws(CallFailure) -> VideoEncoderHandle {
    let given = try copy(pointer, zero: sc_video_settings(), "sc_video_settings")
    let settings = try VideoSettings(given)
    let (width, height) = (Int(given.width), Int(given.height))
    do throws(EncodeError) {
      let header = try VideoEncoder.header(intra: intra, inter: inter, width: width, height: height, settings)
      let memory = VideoEncoder.memory(intra: intra, inter: inter, header, settings)
      let encoder = try VideoEncoder(intra: intra, inter: inter, width: width, height: height, settings)
      return VideoEncoderHandle(encoder, width: width, height: height, memory: memory)
    } catch {
      throw CallFailure(error.status, error.description)
    }
  }

  private init(_ encoder: VideoEncoder, width: Int, height: Int, memory: Int64) {
    self.encoder = encoder
    self.memory = memory
    (self.width, self.height) = (width, height)
    header = CBytes(encoder.header)
  }

  static func of(_ handle: OpaquePointer) -> VideoEncoderHandle {
    Unmanaged<VideoEncoderHandle>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
  }

  var headerBytes: CBytes { header }

  func encode(_ frame: UnsafePointer<sc_picture>?) throws(CallFailure) -> (bytes: CBytes, isIntra: Bool) {
    guard !isFinished else { throw CallFailure(SC_ERROR_ARGUMENT, "the stream is finished") }
    try requireMemory(memory)
    let picture = try PictureArgument(frame)
    do throws(EncodeError) {
      let packet = try encoder.encode(picture.view)
      last = CBytes(packet.bytes)
      hasFrame = true
      return (last, packet.isIntra)
    } catch {
      throw CallFailure(error.status, error.description)
    }
  }

  func copyFrame(_ target: UnsafePointer<sc_picture>?) throws(CallFailure) {
    let target = try PictureArgument(target)
    try target.checkFrame(width: width, height: height)
    guard hasFrame else { throw CallFailure(SC_ERROR_REFERENCE, "no frame has been encoded") }
    encoder.reconstruction.withView { $0.copy(to: target.view) }
  }

  func finish() throws(CallFailure) -> CBytes {
    guard !isFinished else { throw CallFailure(SC_ERROR_ARGUMENT, "the stream is finished") }
    isFinished = true
    last = CBytes(encoder.finish())
    return last
  }
}

/// Bytes that C may read as long as this lives.
final class CBytes {
  let pointer: UnsafeMutablePointer<UInt8>
  let count: Int

  init(_ bytes: [UInt8]) {
    pointer = .allocate(capacity: max(1, bytes.count))
    count = bytes.count
    bytes.withUnsafeBufferPointer {
      if let base = $0.baseAddress { pointer.update(from: base, count: $0.count) }
    }
  }

  deinit { pointer.deallocate() }

  /// Hands them to a caller.
  func give(_ bytes: UnsafeMutablePointer<UnsafePointer<UInt8>?>, _ size: UnsafeMutablePointer<Int>) {
    bytes.pointee = UnsafePointer(pointer)
    size.pointee = count
  }
}

extension PictureArgument {
  /// Memory for a frame of a stream.
  func checkFrame(width: Int, height: Int) throws(CallFailure) {
    guard view.format == .yuv420 else { throw CallFailure(SC_ERROR_LAYOUT, "frames are I420 or NV12") }
    guard view.width == width, view.height == height else {
      throw CallFailure(
        SC_ERROR_LAYOUT,
        "the memory is for \(view.width)×\(view.height) pixels, but frames have \(width)×\(height)")
    }
  }
}

extension VideoSettings {
  fileprivate init(_ given: sc_video_settings) throws(CallFailure) {
    self.init()
    let value = given.rate_value
    switch given.rate {
    case SC_RATE_QUALITY:
      guard 0...100 ~= value else {
        throw CallFailure(SC_ERROR_ARGUMENT, "a quality of \(value) where 0 to 100 are valid")
      }
      rate = .quality(value)
    case SC_RATE_BITRATE:
      rate = .bitrate(value)
    case SC_RATE_MAX_ERROR: rate = .maximumError(try ResidualCodec.requestedError(value))
    default: throw CallFailure(SC_ERROR_ARGUMENT, "rate \(given.rate.rawValue) is unknown")
    }
    let limit: UInt32 = 1 << 30
    guard given.intra_period < limit, given.frame_rate_numerator < limit, given.frame_rate_denominator < limit else {
      throw CallFailure(SC_ERROR_ARGUMENT, "intra_period or a part of the frame rate is 2^30 or more")
    }
    intraPeriod = Int(given.intra_period)
    frameRate = (
      given.frame_rate_numerator == 0 ? 0 : Int(given.frame_rate_numerator),
      given.frame_rate_numerator == 0 ? 1 : max(1, Int(given.frame_rate_denominator))
    )
    let colour = given.colour
    guard colour.3 <= 1 else { throw CallFailure(SC_ERROR_ARGUMENT, "colour[3] is 0 or 1") }
    if colour.0 != 0 {
      self.colour = ColourDescription(
        primaries: colour.0, transfer: colour.1, matrix: colour.2, isFullRange: colour.3 == 1)
    }
    rdoq = try RDOQ.requested(given.rdoq)
    intraRDOQ = try RDOQ.requested(given.intra_rdoq)
    guard given.motion_effort <= 3 else { throw CallFailure(SC_ERROR_ARGUMENT, "motion_effort is 0 to 3") }
    if given.motion_effort > 0 { motionEffort = Int(given.motion_effort) - 1 }
    guard given.keep_scenes <= 1 else { throw CallFailure(SC_ERROR_ARGUMENT, "keep_scenes is 0 or 1") }
    detectsScenes = given.keep_scenes == 0
    entropy = try EntropyKind.requested(given.entropy)
    if given.segment_rows != 0 { segmentRows = Int(clamping: given.segment_rows) }
    execution.threads = threadCount(given.threads)
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_encoder_create(
  _ intra: OpaquePointer!, _ inter: OpaquePointer!, _ settings: UnsafePointer<sc_video_settings>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> sc_status {
  out?.pointee = nil
  guard let intra, let settings, let out else { return SC_ERROR_ARGUMENT }
  do throws(CallFailure) {
    out.pointee = retainedHandle(try VideoEncoderHandle.make(model(intra), inter.map { model($0) }, settings))
    return SC_OK
  } catch {
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_encoder_destroy(_ handle: OpaquePointer!) {
  guard let handle else { return }
  Unmanaged<VideoEncoderHandle>.fromOpaque(UnsafeRawPointer(handle)).release()
}

/// Calls, and gives the caller the bytes that come of it.
private func give(
  _ handle: OpaquePointer?, _ bytes: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
  _ size: UnsafeMutablePointer<Int>?, _ body: (VideoEncoderHandle) throws(CallFailure) -> CBytes
) -> sc_status {
  bytes?.pointee = nil
  size?.pointee = 0
  guard let handle, let bytes, let size else { return SC_ERROR_ARGUMENT }
  let encoder = VideoEncoderHandle.of(handle)
  return status(encoder.message) { () throws(CallFailure) in try body(encoder).give(bytes, size) }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_encoder_header(
  _ handle: OpaquePointer!, _ bytes: UnsafeMutablePointer<UnsafePointer<UInt8>?>!, _ size: UnsafeMutablePointer<Int>!
) -> sc_status {
  give(handle, bytes, size) { (encoder) throws(CallFailure) in encoder.headerBytes }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_encoder_encode(
  _ handle: OpaquePointer!, _ frame: UnsafePointer<sc_picture>!,
  _ packet: UnsafeMutablePointer<UnsafePointer<UInt8>?>!, _ size: UnsafeMutablePointer<Int>!,
  _ isIntra: UnsafeMutablePointer<Int32>!
) -> sc_status {
  give(handle, packet, size) { (encoder) throws(CallFailure) in
    let packet = try encoder.encode(frame)
    isIntra?.pointee = packet.isIntra ? 1 : 0
    return packet.bytes
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_encoder_frame(_ handle: OpaquePointer!, _ picture: UnsafePointer<sc_picture>!) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let encoder = VideoEncoderHandle.of(handle)
  return status(encoder.message) { () throws(CallFailure) in try encoder.copyFrame(picture) }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_encoder_finish(
  _ handle: OpaquePointer!, _ bytes: UnsafeMutablePointer<UnsafePointer<UInt8>?>!, _ size: UnsafeMutablePointer<Int>!
) -> sc_status {
  give(handle, bytes, size) { (encoder) throws(CallFailure) in try encoder.finish() }
}

/// See swiftcodec.h.
@c @implementation
public func sc_video_encoder_message(_ handle: OpaquePointer!) -> UnsafePointer<CChar>! {
  guard let handle else { return sc_status_string(SC_ERROR_ARGUMENT) }
  return UnsafePointer(VideoEncoderHandle.of(handle).message.pointer)
}
