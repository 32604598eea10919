// SPDX-License-Identifier: BSD-3-Clause
internal import CDefaultModel
public import CSwiftCodec
public import SwiftCodec

extension Model {
  /// The model that comes with the library. An error is a fault of the build: its file is not whole.
  public static func embedded() throws(ModelError) -> Model {
    try Model(
      FileBytes(
        permanent: UnsafeBufferPointer(start: sc_default_model(), count: sc_default_model_size()),
        hash: sc_default_model_id()))
  }

  /// The model of inter frames that comes with the library, for `VideoEncoder` and `VideoDecoder`.
  public static func embeddedInter() throws(ModelError) -> Model {
    try Model(
      FileBytes(
        permanent: UnsafeBufferPointer(start: sc_default_inter_model(), count: sc_default_inter_model_size()),
        hash: sc_default_inter_model_id()))
  }

  /// Its file.
  public static func embeddedBytes() -> [UInt8] {
    Array(UnsafeBufferPointer(start: sc_default_model(), count: sc_default_model_size()))
  }
}

/// As swiftcodec.h says.
@c @implementation
public func sc_model_create_embedded(_ out: UnsafeMutablePointer<OpaquePointer?>!) -> sc_status {
  createModel(out) { () throws(ModelError) in try Model.embedded() }
}

/// As swiftcodec.h says.
@c @implementation
public func sc_model_create_embedded_inter(_ out: UnsafeMutablePointer<OpaquePointer?>!) -> sc_status {
  createModel(out) { () throws(ModelError) in try Model.embeddedInter() }
}
