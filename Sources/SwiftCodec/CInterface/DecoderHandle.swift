// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels
public import CSwiftCodec

/// What a C decoder handle points at.
final class DecoderHandle {
  let decoder: Decoder
  let message = CText()
  private let callback: ProgressCallback?

  init(_ model: Model, _ settings: sc_decoder_settings) {
    var execution = Execution()
    execution.threads = threadCount(settings.threads)
    decoder = Decoder(model: model, execution: execution)
    decoder.limits = Limits(settings)
    callback = ProgressCallback.make(settings.progress, settings.progress_context)
    if let callback {
      decoder.monitor = { callback.report($0) }
    }
  }

  static func of(_ handle: OpaquePointer) -> DecoderHandle {
    Unmanaged<DecoderHandle>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
  }

  func decode(
    _ bytes: UnsafePointer<UInt8>?, _ size: Int, region: PictureRegion? = nil, _ picture: UnsafePointer<sc_picture>?
  ) throws(CallFailure) {
    guard let bytes, size >= 0 else { throw CallFailure(SC_ERROR_ARGUMENT, "a pointer is NULL") }
    let picture = try PictureArgument(picture)
    callback?.begin()
    let view = UnsafeBufferPointer(start: bytes, count: size)
    let parts = try described { () throws(DecodeError) in try BitstreamParts(parsing: view) }
    try requireMemory(Int64(size))
    let stream = Array(view)
    let (width, height) = (region?.width ?? parts.header.width, region?.height ?? parts.header.height)
    guard picture.view.width == width, picture.view.height == height else {
      throw CallFailure(
        SC_ERROR_LAYOUT,
        "the memory is for \(picture.view.width)×\(picture.view.height) pixels, but the \(region == nil ? "picture" : "region") "
          + "has \(width)×\(height)")
    }
    try described { () throws(DecodeError) in
      if let region {
        try decoder.decode(stream, parts, region: region, into: picture.view, alpha: picture.alpha)
      } else {
        try decoder.decode(stream, parts, into: picture.view, alpha: picture.alpha)
      }
    }
  }
}

extension Limits {
  /// 0 in a setting means the default.
  init(_ settings: sc_decoder_settings) {
    self.init()
    if settings.max_pixels != 0 { pixels = Int(clamping: settings.max_pixels) }
    if settings.max_memory != 0 { memory = Int64(clamping: settings.max_memory) }
    if settings.max_mac_per_pixel != 0 { macPerPixel = Double(settings.max_mac_per_pixel) }
    if settings.max_work != 0 { work = Double(settings.max_work) }
  }
}

/// A failure of decoding as a call reports it.
func described<T>(_ body: () throws(DecodeError) -> T) throws(CallFailure) -> T {
  do throws(DecodeError) { return try body() } catch { throw CallFailure(error.status, error.description) }
}

/// See swiftcodec.h.
@c @implementation
public func sc_read_header(
  _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ header: UnsafeMutablePointer<sc_header>!
) -> sc_status {
  guard let bytes, let header, size >= 0, header.pointee.struct_size >= MemoryLayout<sc_header>.size else {
    return SC_ERROR_ARGUMENT
  }
  do throws(DecodeError) {
    let read = try BitstreamHeader(
      parsing: Array(UnsafeBufferPointer(start: bytes, count: min(size, BitstreamHeader.maximumSize))))
    header.pointee.width = UInt32(read.width)
    header.pointee.height = UInt32(read.height)
    header.pointee.format = read.format.cValue
    header.pointee.rate_point = UInt32(read.position.ratePoint)
    header.pointee.rate_fraction = UInt32(read.position.fraction)
    header.pointee.entropy = read.entropy.cValue
    header.pointee.segments = UInt32(read.segmentCount)
    header.pointee.segment_rows = UInt32(read.segmentRows ?? 0)
    header.pointee.model_id = read.modelID
    return SC_OK
  } catch {
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_decoder_create(
  _ handle: OpaquePointer!, _ settings: UnsafePointer<sc_decoder_settings>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> sc_status {
  out?.pointee = nil
  guard let handle, let out else { return SC_ERROR_ARGUMENT }
  do throws(CallFailure) {
    let settings = try copy(settings, zero: sc_decoder_settings(), "sc_decoder_settings")
    guard settings.reserved == 0 else { return SC_ERROR_ARGUMENT }
    out.pointee = retainedHandle(DecoderHandle(model(handle), settings))
    return SC_OK
  } catch {
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_decoder_destroy(_ handle: OpaquePointer!) {
  guard let handle else { return }
  Unmanaged<DecoderHandle>.fromOpaque(UnsafeRawPointer(handle)).release()
}

/// See swiftcodec.h.
@c @implementation
public func sc_decode(
  _ handle: OpaquePointer!, _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ picture: UnsafePointer<sc_picture>!
) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let decoder = DecoderHandle.of(handle)
  return status(decoder.message) { () throws(CallFailure) in try decoder.decode(bytes, size, picture) }
}

/// See swiftcodec.h.
@c @implementation
public func sc_decode_region(
  _ handle: OpaquePointer!, _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ region: UnsafePointer<sc_region>!,
  _ picture: UnsafePointer<sc_picture>!
) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let decoder = DecoderHandle.of(handle)
  return status(decoder.message) { () throws(CallFailure) in
    guard let region else { throw CallFailure(SC_ERROR_ARGUMENT, "the region is NULL") }
    let part = region.pointee
    // Sides are 65535 at most, which no region goes beyond.
    let most: UInt32 = 65535
    guard part.x <= most, part.y <= most, part.width <= most, part.height <= most else {
      throw CallFailure(SC_ERROR_LAYOUT, "a region of \(part.width)×\(part.height) at \(part.x), \(part.y)")
    }
    try decoder.decode(
      bytes, size,
      region: PictureRegion(x: Int(part.x), y: Int(part.y), width: Int(part.width), height: Int(part.height)), picture)
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_read_metadata(
  _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ kind: sc_metadata,
  _ data: UnsafeMutablePointer<UnsafePointer<UInt8>?>!, _ dataSize: UnsafeMutablePointer<Int>!
) -> sc_status {
  data?.pointee = nil
  dataSize?.pointee = 0
  guard let bytes, let data, let dataSize, size >= 0, let kind = MetadataKind(kind) else { return SC_ERROR_ARGUMENT }
  do throws(DecodeError) {
    let parts = try BitstreamParts(parsing: UnsafeBufferPointer(start: bytes, count: size))
    if let found = parts.metadata.first(where: { $0.kind == kind }) {
      data.pointee = bytes + found.range.lowerBound
      dataSize.pointee = found.range.count
    }
    return SC_OK
  } catch {
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_has_alpha(_ bytes: UnsafePointer<UInt8>!, _ size: Int) -> Int32 {
  guard let bytes, size >= 0 else { return 0 }
  do throws(DecodeError) {
    let parts = try BitstreamParts(parsing: UnsafeBufferPointer(start: bytes, count: size))
    return parts.alpha == nil ? 0 : 1
  } catch {
    return 0
  }
}

extension MetadataKind {
  init?(_ kind: sc_metadata) {
    switch kind {
    case SC_METADATA_ICC: self = .icc
    case SC_METADATA_EXIF: self = .exif
    case SC_METADATA_XMP: self = .xmp
    case SC_METADATA_CICP: self = .cicp
    case SC_METADATA_GAMMA: self = .gamma
    case SC_METADATA_CHROMATICITIES: self = .chromaticities
    case SC_METADATA_RENDERING_INTENT: self = .renderingIntent
    case SC_METADATA_RESOLUTION: self = .resolution
    default: return nil
    }
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_decoder_message(_ handle: OpaquePointer!) -> UnsafePointer<CChar>! {
  guard let handle else { return sc_status_string(SC_ERROR_ARGUMENT) }
  return UnsafePointer(DecoderHandle.of(handle).message.pointer)
}
