// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels
public import CSwiftCodec

/// What a C decoder handle points at.
final class DecoderHandle {
  let decoder: Decoder
  let message = CText()

  init(_ model: Model, _ settings: sc_decoder_settings) {
    var execution = Execution()
    execution.threads = threadCount(settings.threads)
    decoder = Decoder(model: model, execution: execution)
    if settings.max_pixels != 0 { decoder.maximumPixels = Int(clamping: settings.max_pixels) }
  }

  static func of(_ handle: OpaquePointer) -> DecoderHandle {
    Unmanaged<DecoderHandle>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
  }

  func decode(
    _ bytes: UnsafePointer<UInt8>?, _ size: Int, _ picture: UnsafePointer<sc_picture>?
  ) throws(CallFailure) {
    guard let bytes, size >= 0 else { throw CallFailure(SC_ERROR_ARGUMENT, "a pointer is NULL") }
    let picture = try PictureArgument(picture)
    let stream = Array(UnsafeBufferPointer(start: bytes, count: size))
    let parts = try described { () throws(DecodeError) in try BitstreamParts(parsing: stream) }
    let header = parts.header
    guard picture.view.width == header.width, picture.view.height == header.height else {
      throw CallFailure(
        SC_ERROR_LAYOUT,
        "the memory is for \(picture.view.width)×\(picture.view.height) pixels, but the picture has "
          + "\(header.width)×\(header.height)")
    }
    try described { () throws(DecodeError) in
      try decoder.decode(stream, parts, into: picture.view, alpha: picture.alpha)
    }
  }
}

private func described<T>(_ body: () throws(DecodeError) -> T) throws(CallFailure) -> T {
  do throws(DecodeError) { return try body() } catch { throw CallFailure(error.status, error.description) }
}

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

@c @implementation
public func sc_decoder_destroy(_ handle: OpaquePointer!) {
  guard let handle else { return }
  Unmanaged<DecoderHandle>.fromOpaque(UnsafeRawPointer(handle)).release()
}

@c @implementation
public func sc_decode(
  _ handle: OpaquePointer!, _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ picture: UnsafePointer<sc_picture>!
) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let decoder = DecoderHandle.of(handle)
  decoder.message.set("")
  do throws(CallFailure) {
    try decoder.decode(bytes, size, picture)
    return SC_OK
  } catch {
    decoder.message.set(error.message)
    return error.status
  }
}

@c @implementation
public func sc_decoder_message(_ handle: OpaquePointer!) -> UnsafePointer<CChar>! {
  guard let handle else { return sc_status_string(SC_ERROR_ARGUMENT) }
  return UnsafePointer(DecoderHandle.of(handle).message.pointer)
}
