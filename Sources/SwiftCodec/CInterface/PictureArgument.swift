// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels
internal import CSwiftCodec

/// A caller's picture, checked.
struct PictureArgument {
  let view: PictureView
  /// The fourth byte of RGBA and BGRA.
  let alpha: sc_component?

  init(_ pointer: UnsafePointer<sc_picture>?) throws(CallFailure) {
    guard pointer != nil else { throw CallFailure(SC_ERROR_ARGUMENT, "the picture is NULL") }
    let picture = try copy(pointer, zero: sc_picture(), "sc_picture")
    guard picture.reserved == 0 else { throw CallFailure(SC_ERROR_ARGUMENT, "reserved is not 0") }
    guard 1...65535 ~= picture.width, 1...65535 ~= picture.height else {
      throw CallFailure(SC_ERROR_LAYOUT, "a picture of \(picture.width)×\(picture.height): sides are 1 to 65535")
    }
    let width = Int(picture.width)
    let halfWidth = (width + 1) / 2
    let pixelSize: Int
    let format: PixelFormat
    switch picture.format {
    case SC_PIXEL_RGB: (format, pixelSize) = (.rgb, 3)
    case SC_PIXEL_RGBA, SC_PIXEL_BGRA: (format, pixelSize) = (.rgb, 4)
    case SC_PIXEL_GREY: (format, pixelSize) = (.grey, 1)
    case SC_PIXEL_I420, SC_PIXEL_NV12: (format, pixelSize) = (.yuv420, 1)
    default: throw CallFailure(SC_ERROR_LAYOUT, "pixel format \(picture.format.rawValue) is unknown")
    }

    func component(
      _ plane: UnsafeMutablePointer<UInt8>?, _ stride: Int, rowSize: Int, offset: Int, step: Int
    ) throws(CallFailure) -> sc_component {
      guard let plane else { throw CallFailure(SC_ERROR_ARGUMENT, "a plane of the picture is NULL") }
      let stride = stride == 0 ? rowSize : stride
      guard stride >= rowSize, stride <= Int.max / 65536 else {
        throw CallFailure(SC_ERROR_LAYOUT, "a stride of \(stride) bytes where a row has \(rowSize)")
      }
      return sc_component(base: plane + offset, step: step, row_stride: stride)
    }
    let (planes, strides) = (picture.planes, picture.strides)
    func first(_ offset: Int) throws(CallFailure) -> sc_component {
      try component(planes.0, strides.0, rowSize: width * pixelSize, offset: offset, step: pixelSize)
    }

    var components: [sc_component]
    var alpha: sc_component?
    switch picture.format {
    case SC_PIXEL_BGRA: components = [try first(2), try first(1), try first(0)]
    case SC_PIXEL_RGB, SC_PIXEL_RGBA: components = [try first(0), try first(1), try first(2)]
    case SC_PIXEL_I420:
      components = [
        try first(0), try component(planes.1, strides.1, rowSize: halfWidth, offset: 0, step: 1),
        try component(planes.2, strides.2, rowSize: halfWidth, offset: 0, step: 1),
      ]
    case SC_PIXEL_NV12:
      components = [try first(0)]
      for offset in 0..<2 {
        components.append(
          try component(planes.1, strides.1, rowSize: 2 * halfWidth, offset: offset, step: 2))
      }
    default: components = [try first(0)]
    }
    if pixelSize == 4 { alpha = try first(3) }
    view = PictureView(width: width, height: Int(picture.height), format: format, components: components)
    self.alpha = alpha
  }
}

extension PictureArgument {
  /// The alpha; nil if it is 255 everywhere.
  var transparency: Picture? {
    guard let alpha else { return nil }
    let grey = Picture(
      copying: PictureView(width: view.width, height: view.height, format: .grey, components: [alpha]))
    return grey.samples.allSatisfy { $0 == 255 } ? nil : grey
  }
}

extension PixelFormat {
  /// How a decoder would write it.
  var cValue: sc_pixel_format {
    switch self {
    case .rgb: SC_PIXEL_RGB
    case .grey: SC_PIXEL_GREY
    case .yuv420: SC_PIXEL_I420
    }
  }
}
