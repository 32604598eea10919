// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels
public import CSwiftCodec

/// The model behind a handle that the caller owns.
func model(_ handle: OpaquePointer) -> Model {
  Unmanaged<Model>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
}

func retainedHandle(_ object: some AnyObject) -> OpaquePointer {
  OpaquePointer(Unmanaged.passRetained(object).toOpaque())
}

/// What a model whose file stays where it is takes, about: its entropy models.
private let embeddedModelBytes: Int64 = 8 << 20

/// A handle of a new model for the caller, for functions of other targets.
package func createModel(
  _ out: UnsafeMutablePointer<OpaquePointer?>?, _ model: () throws(ModelError) -> Model
) -> sc_status {
  guard let out else { return SC_ERROR_ARGUMENT }
  out.pointee = nil
  guard Memory.has(embeddedModelBytes) else { return SC_ERROR_OUT_OF_MEMORY }
  do throws(ModelError) {
    out.pointee = retainedHandle(try model())
    return SC_OK
  } catch {
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_model_create(
  _ bytes: UnsafePointer<UInt8>!, _ size: Int, _ out: UnsafeMutablePointer<OpaquePointer?>!,
  _ message: UnsafeMutablePointer<CChar>!, _ messageSize: Int
) -> sc_status {
  func report(_ text: String) {
    guard let message, messageSize > 0 else { return }
    var end = 0
    for byte in text.utf8 where byte != 0 && end + 1 < messageSize {
      message[end] = CChar(bitPattern: byte)
      end += 1
    }
    message[end] = 0
  }
  out?.pointee = nil
  guard let out, let bytes, size >= 0 else {
    report("a pointer is NULL")
    return SC_ERROR_ARGUMENT
  }
  // The copy, and what is made of the sections that are not weights.
  guard Memory.has(8 * Int64(size)) else {
    report("out of memory")
    return SC_ERROR_OUT_OF_MEMORY
  }
  do throws(ModelError) {
    let model = try Model(FileBytes(copying: UnsafeBufferPointer(start: bytes, count: size)))
    out.pointee = retainedHandle(model)
    report("")
    return SC_OK
  } catch {
    report(error.description)
    return error.status
  }
}

/// See swiftcodec.h.
@c @implementation
public func sc_model_destroy(_ handle: OpaquePointer!) {
  guard let handle else { return }
  Unmanaged<Model>.fromOpaque(UnsafeRawPointer(handle)).release()
}

/// See swiftcodec.h.
@c @implementation
public func sc_model_id(_ handle: OpaquePointer!) -> UInt64 { handle.map { model($0).id } ?? 0 }

/// See swiftcodec.h.
@c @implementation
public func sc_model_rate_points(_ handle: OpaquePointer!) -> UInt32 {
  handle.map { UInt32(model($0).ratePoints.count) } ?? 0
}

/// See swiftcodec.h.
@c @implementation
public func sc_model_quality(
  _ handle: OpaquePointer!, _ quality: Double, _ ratePoint: UnsafeMutablePointer<UInt32>!,
  _ rateFraction: UnsafeMutablePointer<UInt32>!
) -> sc_status {
  sc_model_domain_quality(handle, 0, quality, ratePoint, rateFraction)
}

/// See swiftcodec.h.
@c @implementation
public func sc_model_domains(_ handle: OpaquePointer!) -> UInt32 {
  handle.map { UInt32(model($0).domains.count) } ?? 0
}

/// See swiftcodec.h.
@c @implementation
public func sc_model_domain_quality(
  _ handle: OpaquePointer!, _ domain: UInt32, _ quality: Double, _ ratePoint: UnsafeMutablePointer<UInt32>!,
  _ rateFraction: UnsafeMutablePointer<UInt32>!
) -> sc_status {
  guard let handle, let ratePoint, let rateFraction, 0...100 ~= quality,
    Int64(domain) < Int64(model(handle).domains.count)
  else { return SC_ERROR_ARGUMENT }
  let position = model(handle).position(quality: quality, domain: Int(domain))
  ratePoint.pointee = UInt32(position.ratePoint)
  rateFraction.pointee = UInt32(position.fraction)
  return SC_OK
}

/// See swiftcodec.h.
@c @implementation
public func sc_model_has_entropy(_ handle: OpaquePointer!, _ kind: sc_entropy_kind) -> Int32 {
  guard let handle else { return 0 }
  do throws(CallFailure) {
    let kinds = model(handle).entropyKinds
    guard let kind = try EntropyKind.requested(kind) else { return kinds.isEmpty ? 0 : 1 }
    return kinds.contains { $0.rawValue == kind.rawValue } ? 1 : 0
  } catch {
    return 0
  }
}
