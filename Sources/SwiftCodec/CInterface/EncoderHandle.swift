// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels
public import CSwiftCodec

/// What a C encoder handle points at.
final class EncoderHandle {
  let encoder: Encoder
  let message = CText()
  private var settings = EncoderSettings(ratePoint: 0)
  private var target: EncoderTarget?
  private var maximumPixels = 1 << 28
  private var callback: ProgressCallback?

  init(_ model: Model) { encoder = Encoder(model: model) }

  static func of(_ handle: OpaquePointer) -> EncoderHandle {
    Unmanaged<EncoderHandle>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
  }

  func configure(_ pointer: UnsafePointer<sc_encoder_settings>?) throws(CallFailure) {
    let new = try copy(pointer, zero: sc_encoder_settings(), "sc_encoder_settings")
    guard new.rate_fraction < RatePosition.steps else {
      throw CallFailure(SC_ERROR_RATE_POINT, "a rate fraction of \(new.rate_fraction) where 0 to 31 are valid")
    }
    let position = RatePosition(ratePoint: Int(new.rate_point), fraction: Int(new.rate_fraction))
    guard encoder.model.domain(of: position) != nil else {
      let error = EncodeError.position(position, count: encoder.model.ratePoints.count)
      throw CallFailure(error.status, error.description)
    }
    let kind = try EntropyKind.requested(new.entropy)
    guard let kind = kind ?? encoder.model.preferredEntropyKind,
      encoder.model.entropyKinds.contains(where: { $0.rawValue == kind.rawValue })
    else {
      let error = EncodeError.entropyModel(kind)
      throw CallFailure(error.status, error.description)
    }
    guard new.segment_rows % 8 == 0, new.segment_rows <= 2040 else {
      throw CallFailure(
        SC_ERROR_SEGMENT_ROWS, "segments of \(new.segment_rows) rows: valid are multiples of 8 up to 2040")
    }
    let rdoq = try RDOQ.requested(new.rdoq)
    guard new.choose_domain <= 1 else {
      throw CallFailure(SC_ERROR_ARGUMENT, "choose_domain is \(new.choose_domain) where 0 and 1 are valid")
    }
    guard new.lambda == 0 || RatePoint.lambdas ~= new.lambda else {
      let error = EncodeError.lambda(new.lambda)
      throw CallFailure(error.status, error.description)
    }
    settings.rdoq = rdoq
    settings.lambda = new.lambda > 0 ? new.lambda : nil
    let goal = try Goal(new.target, new.target_value)
    settings.position = goal.quality.map { encoder.model.position(quality: $0) } ?? position
    settings.holdsQuality = goal.quality != nil
    settings.maximumError = goal.maximumError
    settings.choosesDomain = new.choose_domain == 1
    target = goal.target
    settings.entropy = kind
    settings.measuresDistortion = false
    settings.execution.threads = threadCount(new.threads)
    settings.monitor = nil
    callback = ProgressCallback.make(new.progress, new.progress_context)
    if let callback {
      settings.monitor = { callback.report($0) }
    }
    maximumPixels = new.max_pixels == 0 ? 1 << 28 : Int(clamping: new.max_pixels)
    encoder.segmentRows = new.segment_rows == 0 ? 64 : Int(new.segment_rows)
  }

  func setMetadata(_ kind: sc_metadata, _ data: UnsafePointer<UInt8>?, _ size: Int) throws(CallFailure) {
    guard let kind = MetadataKind(kind) else {
      throw CallFailure(SC_ERROR_ARGUMENT, "metadata kind \(kind.rawValue) is unknown")
    }
    guard size >= 0, size < 1 << 30, data != nil || size == 0 else {
      throw CallFailure(SC_ERROR_ARGUMENT, "metadata of \(size) bytes")
    }
    try requireMemory(Int64(size))
    settings.metadata.removeAll { $0.kind == kind }
    if let data, size > 0 {
      settings.metadata.append(Metadata(kind, Array(UnsafeBufferPointer(start: data, count: size))))
    }
  }

  func encode(_ picture: UnsafePointer<sc_picture>?) throws(CallFailure) -> [UInt8] {
    let picture = try PictureArgument(picture)
    guard picture.view.width * picture.view.height <= maximumPixels else {
      let error = DecodeError.tooLarge(
        width: picture.view.width, height: picture.view.height, limit: maximumPixels)
      throw CallFailure(error.status, error.description)
    }
    // The transparency, which is taken out.
    if picture.alpha != nil { try requireMemory(Int64(picture.view.width) * Int64(picture.view.height)) }
    settings.alpha = picture.transparency
    defer { settings.alpha = nil }
    callback?.begin()
    do throws(EncodeError) {
      guard let target else { return try encoder.encode(picture.view, settings).bytes }
      return try encoder.encode(picture.view, settings, target: target).bytes
    } catch {
      throw CallFailure(error.status, error.description)
    }
  }
}

/// What a file is to come to: at most one of these.
private struct Goal {
  var target: EncoderTarget?
  var quality: Double?
  var maximumError: Int?

  init(_ kind: sc_target, _ value: Double) throws(CallFailure) {
    guard value >= 0, value < 1e18 else { throw CallFailure(SC_ERROR_ARGUMENT, "target_value \(value)") }
    switch kind {
    case SC_TARGET_NONE: break
    case SC_TARGET_BYTES: target = .bytes(Int(value))
    case SC_TARGET_BITS_PER_PIXEL: target = .bitsPerPixel(value)
    case SC_TARGET_PSNR: target = .psnr(value)
    case SC_TARGET_QUALITY:
      guard value <= 100 else {
        throw CallFailure(SC_ERROR_ARGUMENT, "a quality of \(value) where 0 to 100 are valid")
      }
      quality = value
    case SC_TARGET_MAX_ERROR: maximumError = try ResidualCodec.requestedError(value)
    default: throw CallFailure(SC_ERROR_ARGUMENT, "target \(kind.rawValue) is unknown")
    }
  }
}

extension ResidualCodec {
  static func requestedError(_ value: Double) throws(CallFailure) -> Int {
    guard let error = Int(exactly: value), maximumErrors ~= error else {
      throw CallFailure(SC_ERROR_ARGUMENT, "a largest error of \(value) where whole numbers from 0 to 15 are valid")
    }
    return error
  }
}

extension RDOQ {
  static func requested(_ value: sc_rdoq) throws(CallFailure) -> RDOQ {
    switch value {
    case SC_RDOQ_OFF: return .off
    case SC_RDOQ_FAST: return .fast
    case SC_RDOQ_FULL: return .full
    case SC_RDOQ_QUICK: return .quick
    default: throw CallFailure(SC_ERROR_ARGUMENT, "rdoq \(value.rawValue) is unknown")
    }
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_encoder_create(
  _ handle: OpaquePointer!, _ settings: UnsafePointer<sc_encoder_settings>!,
  _ out: UnsafeMutablePointer<OpaquePointer?>!
) -> sc_status {
  out?.pointee = nil
  guard let handle, let out else { return SC_ERROR_ARGUMENT }
  let encoder = EncoderHandle(model(handle))
  do throws(CallFailure) {
    try encoder.configure(settings)
    out.pointee = retainedHandle(encoder)
    return SC_OK
  } catch {
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_encoder_destroy(_ handle: OpaquePointer!) {
  guard let handle else { return }
  Unmanaged<EncoderHandle>.fromOpaque(UnsafeRawPointer(handle)).release()
}

/// See swiftcodec.h.
@c @implementation
public func sc_encoder_configure(
  _ handle: OpaquePointer!, _ settings: UnsafePointer<sc_encoder_settings>!
) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let encoder = EncoderHandle.of(handle)
  return status(encoder.message) { () throws(CallFailure) in try encoder.configure(settings) }
}

/// See swiftcodec.h.
@c @implementation
public func sc_encoder_set_metadata(
  _ handle: OpaquePointer!, _ kind: sc_metadata, _ data: UnsafePointer<UInt8>!, _ size: Int
) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let encoder = EncoderHandle.of(handle)
  return status(encoder.message) { () throws(CallFailure) in try encoder.setMetadata(kind, data, size) }
}

/// Encodes, and hands the bitstream to `take`.
private func encode(
  _ handle: OpaquePointer?, _ picture: UnsafePointer<sc_picture>?,
  _ take: ([UInt8]) throws(CallFailure) -> Void
) -> sc_status {
  guard let handle else { return SC_ERROR_ARGUMENT }
  let encoder = EncoderHandle.of(handle)
  return status(encoder.message) { () throws(CallFailure) in try take(try encoder.encode(picture)) }
}

/// See swiftcodec.h.
@c @implementation
public func sc_encode(
  _ handle: OpaquePointer!, _ picture: UnsafePointer<sc_picture>!,
  _ bytes: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>!, _ size: UnsafeMutablePointer<Int>!
) -> sc_status {
  bytes?.pointee = nil
  size?.pointee = 0
  guard let bytes, let size else { return SC_ERROR_ARGUMENT }
  return encode(handle, picture) { stream throws(CallFailure) in
    guard let memory = sc_memory_allocate(stream.count)?.bindMemory(to: UInt8.self, capacity: stream.count) else {
      throw CallFailure(SC_ERROR_OUT_OF_MEMORY, "out of memory: \(stream.count) bytes")
    }
    stream.withUnsafeBufferPointer { memory.update(from: $0.baseAddress!, count: $0.count) }
    bytes.pointee = memory
    size.pointee = stream.count
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_encode_into(
  _ handle: OpaquePointer!, _ picture: UnsafePointer<sc_picture>!,
  _ bytes: UnsafeMutablePointer<UInt8>!, _ capacity: Int, _ size: UnsafeMutablePointer<Int>!
) -> sc_status {
  size?.pointee = 0
  guard let size, bytes != nil || capacity == 0 else { return SC_ERROR_ARGUMENT }
  return encode(handle, picture) { stream throws(CallFailure) in
    size.pointee = stream.count
    guard let bytes, stream.count <= capacity else {
      throw CallFailure(SC_ERROR_BUFFER, "the bitstream has \(stream.count) bytes, the buffer \(capacity)")
    }
    stream.withUnsafeBufferPointer { bytes.update(from: $0.baseAddress!, count: $0.count) }
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_encoder_message(_ handle: OpaquePointer!) -> UnsafePointer<CChar>! {
  guard let handle else { return sc_status_string(SC_ERROR_ARGUMENT) }
  return UnsafePointer(EncoderHandle.of(handle).message.pointer)
}
