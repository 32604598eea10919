// SPDX-License-Identifier: BSD-3-Clause

/// Why a bitstream is not decoded.
public enum DecodeError: Error, Equatable, CustomStringConvertible {
  /// The first bytes are not "SCI".
  case notABitstream
  /// The version known is 2.
  case version(UInt8)
  /// The bytes end inside of a field.
  case truncated(offset: Int)
  /// The CRC-32C behind a segment or a box, counted from 0 in the order of the file, is not that of all bytes so far.
  case checksum(part: Int)
  /// The entropy kind or the pixel format is unknown.
  case unknownFlags(UInt8)
  /// Width and height are 1…65535.
  case sides(width: Int, height: Int)
  /// The picture has another number of segments than the header says, or the bitstream has.
  case segmentCount(Int, expected: Int)
  /// A box that a decoder must understand, of a tag that this library does not know.
  case unknownBox(BoxTag)
  /// A box that stands out of order, twice, or behind the last one.
  case misplacedBox(BoxTag)
  /// A box of so many bytes has no valid content.
  case boxContent(BoxTag, size: Int)
  /// The bitstream was made with another model than the one that is loaded: the first halves of their ids.
  case model(wanted: UInt32, loaded: UInt32)
  /// Rate points of this model are 0 ..< count, and positions lie between them.
  case position(RatePosition, count: Int)
  /// The model has no such entropy model.
  case entropyModel(EntropyKind)
  /// The model has no networks for pictures of this format.
  case format(PixelFormat)
  /// The samples of a residual layer are of one format, and another one is asked for that has no exact relation to it.
  case conversion(from: PixelFormat, to: PixelFormat)
  /// A residual layer, of the picture or of its transparency, does not decode.
  case residual(ResidualError)
  /// A segment's payload does not decode, though its checksum is right.
  case payload(segment: Int)
  /// A segment's payload is too small for the picture that the header claims: the fewest bytes that it can have.
  case payloadSize(segment: Int, size: Int, least: Int)
  /// A frame of a stream that does not follow on the one before it.
  case frameNumber(Int, expected: Int)
  /// A frame that is predicted from one that was not decoded.
  case missingReference(frame: Int)
  /// A stream of inter frames asks for a model that codes them, and other frames for one that does not.
  case modelKind
  /// The picture has more pixels than the caller allows.
  case tooLarge(width: Int, height: Int, limit: Int)
  /// The region is not a part of a picture of this size, or in 4:2:0 not at even coordinates.
  case region(PictureRegion, width: Int, height: Int)
  /// The caller's `monitor` said so.
  case cancelled
  /// Decoding would take more memory, in bytes, than the caller allows.
  case memory(needed: Int64, limit: Int64)
  /// Decoding takes so many bytes, and they are not there.
  case outOfMemory(needed: Int64)
  /// Decoding would take more multiply-adds a pixel than the caller allows.
  case macPerPixel(Double, limit: Double)
  /// Decoding would take more work in all, in multiply-adds, than the caller allows.
  case work(needed: Double, limit: Double)

  /// The fault in words, for people; without a full stop.
  public var description: String {
    switch self {
    case .notABitstream: "not a SwiftCodec bitstream"
    case .version(let v): "bitstream version \(v), this library reads 2"
    case .truncated(let offset): "ends too early, at byte \(offset)"
    case .checksum(0): "the CRC-32C of header and first part does not match: the file is damaged"
    case .checksum(let i): "the CRC-32C of part \(i) does not match: the file is damaged"
    case .unknownFlags(let flags): "unknown flags \(flags) in the header"
    case .sides(let width, let height): "a picture of \(width)×\(height) pixels: sides are 1 to 65535"
    case .segmentCount(let count, let expected): "\(count) segments where the picture has \(expected)"
    case .unknownBox(let tag): "box \"\(tag.description)\" is needed to decode, and this library does not know it"
    case .misplacedBox(let tag): "box \"\(tag.description)\" stands out of order"
    case .boxContent(let tag, let size): "box \"\(tag.description)\" of \(size) bytes is not valid"
    case .model(let wanted, let loaded):
      "made with model \(hexadecimal(wanted))…, but model \(hexadecimal(loaded))… is loaded"
    case .position(let position, let count):
      "rate position \(position.description) where the model has 0 to \(count - 1)"
    case .entropyModel(let kind): "the model has no entropy model \"\(kind.name)\""
    case .format(let format): "the model has no networks for \(format.name) pictures"
    case .conversion(let from, let to):
      "the picture's samples are exact in \(from.name) and are not converted to \(to.name)"
    case .residual(let error): error.description
    case .payload(let i): "segment \(i) does not decode: the file is damaged"
    case .payloadSize(let i, let size, let least): "segment \(i) of \(size) bytes: such a segment has at least \(least)"
    case .frameNumber(let number, let expected): "frame \(number) where frame \(expected) should follow"
    case .missingReference(let frame): "frame \(frame) is predicted from a frame that was not decoded"
    case .modelKind: "a model of inter frames where one of pictures is needed, or the other way round"
    case .tooLarge(let width, let height, let limit): "\(width)×\(height) pixels are more than the limit of \(limit)"
    case .region(let region, let width, let height):
      "\(region.width)×\(region.height) pixels at \(region.x), \(region.y) where the picture has \(width)×\(height) "
        + "(and regions of 4:2:0 pictures start at even coordinates)"
    case .cancelled: "cancelled"
    case .memory(let needed, let limit): "decoding takes \(needed) bytes of memory, the limit is \(limit)"
    case .outOfMemory(let needed): "out of memory: decoding takes \(needed) bytes"
    case .macPerPixel(let work, let limit):
      "decoding takes \(wholeNumber(work)) multiply-adds a pixel, the limit is \(wholeNumber(limit))"
    case .work(let work, let limit):
      "decoding takes the work of \(wholeNumber(work)) multiply-adds, the limit is \(wholeNumber(limit))"
    }
  }
}
