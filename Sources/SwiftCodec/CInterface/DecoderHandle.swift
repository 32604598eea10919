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
    _ bytes: UnsafePointer<UInt8>?, _ size: Int, _ samples: UnsafeMutablePointer<UInt8>?,
    _ layout: UnsafePointer<sc_picture_layout>?
  ) throws(CallFailure) {
    guard let bytes, let samples, layout != nil, size >= 0 else {
      throw CallFailure(SC_ERROR_ARGUMENT, "a pointer is NULL")
    }
    let layout = try ValidLayout(copy(layout, zero: sc_picture_layout(), "sc_picture_layout"))
    let stream = Array(UnsafeBufferPointer(start: bytes, count: size))
    let parts = try described { () throws(DecodeError) in try BitstreamParts(parsing: stream) }
    let header = parts.header
    guard layout.width == header.width, layout.height == header.height, layout.channels == header.channels else {
      throw CallFailure(
        SC_ERROR_LAYOUT,
        "the layout is \(layout.width)×\(layout.height), \(layout.channels) channels, but the picture is "
          + "\(header.width)×\(header.height), \(header.channels) channels")
    }
    try described { () throws(DecodeError) in
      try decoder.decode(stream, parts, into: samples, rowStride: layout.rowStride)
    }
  }
}

private func described<T>(_ body: () throws(DecodeError) -> T) throws(CallFailure) -> T {
  do throws(DecodeError) { return try body() } catch { throw CallFailure(error.status, error.description) }
}

/// A caller's layout, checked.
struct ValidLayout {
  let width: Int
  let height: Int
  let channels: Int
  let rowStride: Int

  init(_ layout: sc_picture_layout) throws(CallFailure) {
    guard 1...65535 ~= layout.width, 1...65535 ~= layout.height else {
      throw CallFailure(SC_ERROR_LAYOUT, "a picture of \(layout.width)×\(layout.height): sides are 1 to 65535")
    }
    guard layout.channels == 1 || layout.channels == 3 else {
      throw CallFailure(SC_ERROR_LAYOUT, "\(layout.channels) channels: a picture has 1 or 3")
    }
    width = Int(layout.width)
    height = Int(layout.height)
    channels = Int(layout.channels)
    let row = width * channels
    rowStride = layout.row_stride == 0 ? row : Int(clamping: layout.row_stride)
    guard rowStride >= row, rowStride <= Int.max / 65536 else {
      throw CallFailure(SC_ERROR_LAYOUT, "a row stride of \(rowStride) bytes where a row has \(row)")
    }
    guard layout.reserved == 0 else { throw CallFailure(SC_ERROR_ARGUMENT, "reserved is not 0") }
  }
}

extension BitstreamHeader {
  var channels: Int { isGrey ? 1 : 3 }
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
    header.pointee.channels = UInt32(read.channels)
    header.pointee.rate_point = UInt32(read.position.ratePoint)
    header.pointee.rate_fraction = UInt32(read.position.fraction)
    header.pointee.entropy = read.entropy.cValue
    header.pointee.segments = UInt32(read.segmentCount)
    header.pointee.segment_rows = UInt32(read.segments?.rows ?? 0)
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
  _ handle: OpaquePointer!, _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ samples: UnsafeMutablePointer<UInt8>!,
  _ layout: UnsafePointer<sc_picture_layout>!
) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let decoder = DecoderHandle.of(handle)
  decoder.message.set("")
  do throws(CallFailure) {
    try decoder.decode(bytes, size, samples, layout)
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
