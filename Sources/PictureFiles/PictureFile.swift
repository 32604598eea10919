// SPDX-License-Identifier: BSD-3-Clause

public import SwiftCodec

/// A picture as it stands in a file, with all that belongs to it.
public struct LoadedPicture: Sendable, Equatable {
  /// RGB or grey; 4:2:0 as it is in a JPEG or Y4M file. Colour is not multiplied by alpha.
  public var picture: Picture
  /// Opacity as a grey picture of the same size: 0 is transparent, 255 opaque. Nil when the file has none.
  public var alpha: Picture?
  /// What the file says beside the samples; empty fields for what it does not.
  public var metadata: PictureMetadata
  /// What was not kept and where the file deviates from its format, in the order of the file.
  public var warnings: [PictureWarning]

  /// A picture of one's own. `alpha`, if there is any, has the size of `picture`.
  public init(
    picture: Picture, alpha: Picture? = nil, metadata: PictureMetadata = PictureMetadata(),
    warnings: [PictureWarning] = []
  ) {
    self.picture = picture
    self.alpha = alpha
    self.metadata = metadata
    self.warnings = warnings
  }
}

/// Everything of a picture file that is not samples.
public struct PictureMetadata: Sendable, Equatable {
  /// An ICC profile (ISO 15076-1).
  public var icc: [UInt8]?
  /// An EXIF block from its TIFF header on; orientation is 1, for it has been applied.
  public var exif: [UInt8]?
  /// An XMP packet.
  public var xmp: [UInt8]?
  /// The four bytes of PNG's cICP: primaries, transfer function, matrix, full range (ITU-T H.273).
  public var cicp: [UInt8]?
  /// PNG's gAMA: the exponent of the encoding times 100000.
  public var gamma: UInt32?
  /// PNG's cHRM: white point and primaries.
  public var chromaticities: Chromaticities?
  /// PNG's sRGB: the rendering intent, 0…3.
  public var sRGBIntent: UInt8?
  /// PNG's pHYs, JFIF's or Exif's density.
  public var resolution: PictureResolution?
  /// How the samples of a 4:2:0 picture are to be understood; nil for RGB and grey.
  public var colour: ColourDescription?

  /// Nothing known.
  public init() {}
}

/// PNG's cHRM: x and y of the white point and the primaries, times 100000.
public struct Chromaticities: Sendable, Equatable {
  /// White, red, green, blue, x before y: eight values.
  public var values: [UInt32]

  /// Nil unless there are eight values.
  public init?(_ values: [UInt32]) {
    guard values.count == 8 else { return nil }
    self.values = values
  }
}

/// Pixels per unit of length.
public struct PictureResolution: Sendable, Equatable {
  /// The length that `horizontal` and `vertical` count pixels of.
  public enum Unit: Sendable, Equatable {
    /// Only the ratio of the two means something.
    case none
    case inch, centimetre, metre
  }

  /// Pixels per unit from left to right.
  public var horizontal: UInt32
  /// Pixels per unit from top to bottom.
  public var vertical: UInt32
  /// Of both numbers.
  public var unit: Unit

  /// Pixels per unit in both directions.
  public init(horizontal: UInt32, vertical: UInt32, unit: Unit) {
    (self.horizontal, self.vertical, self.unit) = (horizontal, vertical, unit)
  }

  /// The same per metre, rounded, or as it is without a unit.
  var perMetre: PictureResolution {
    func scaled(_ value: UInt32) -> UInt32 {
      switch unit {
      case .none, .metre: value
      case .inch: UInt32(clamping: (UInt64(value) * 10000 + 127) / 254)
      case .centimetre: UInt32(clamping: UInt64(value) * 100)
      }
    }
    return PictureResolution(
      horizontal: scaled(horizontal), vertical: scaled(vertical), unit: unit == .none ? .none : .metre)
  }

  var transposed: PictureResolution {
    PictureResolution(horizontal: vertical, vertical: horizontal, unit: unit)
  }
}

extension ColourDescription {
  /// JFIF: BT.601's matrix at full range; sRGB's primaries and transfer function.
  public static let jfif = ColourDescription(primaries: 1, transfer: 13, matrix: 6, isFullRange: true)
}

/// Something of a file that is not kept, or in which it deviates from its format without harm to the picture.
public enum PictureWarning: Sendable, Equatable {
  // Not kept.

  /// Samples of more than 8 bits, rounded to 8.
  case bitsReduced(from: Int)
  /// Animation or video: frames behind the first. Nil if they were not counted.
  case furtherFrames(Int?)
  /// Another PNM picture behind the first.
  case furtherPictures
  /// A PNG chunk, named by its type.
  case chunkNotKept(String)
  /// A JPEG segment, in words.
  case segmentNotKept(String)
  /// Metadata that cannot be understood, in words.
  case damagedMetadata(String)
  /// 4:4:4 averaged to 4:2:0.
  case chromaAveraged

  // Deviations.

  /// Bytes behind the end of the picture.
  case trailingBytes(Int)
  /// An ancillary PNG chunk of wrong CRC-32, ignored.
  case checksum(chunk: String)
  /// A PNG chunk where it must not stand.
  case chunkOutOfPlace(String)
  /// A PNG chunk that may occur once; the first counts.
  case chunkRepeated(String)
  /// A PNG chunk with more bytes than it needs, or of a size at which it is ignored.
  case chunkSize(String, Int)
  /// A sample without an entry in the palette is black.
  case paletteIndex(UInt8, entries: Int)
  /// Compressed data of PNG go on behind the last row.
  case surplusRows
  /// Lines of a PNM header end in CR LF.
  case carriageReturns
  /// No end marker behind complete JPEG data.
  case noEndMarker
  /// Bytes between JPEG segments that belong to none.
  case strayBytes(Int)
  /// A progressive JPEG file that ends properly without its finest scans.
  case coarseScans

  /// Whether something of the picture is lost; the other warnings are of the file alone.
  public var isLoss: Bool {
    switch self {
    case .bitsReduced, .furtherFrames, .furtherPictures, .chunkNotKept, .segmentNotKept, .damagedMetadata,
      .chromaAveraged:
      true
    default: false
    }
  }

  /// In words, for people; without a full stop.
  public var description: String {
    switch self {
    case .bitsReduced(let bits): "samples of \(bits) bits are rounded to 8"
    case .furtherFrames(let count):
      count.map { "of \($0 + 1) frames only the first is read" } ?? "only the first frame is read"
    case .furtherPictures: "only the first of several pictures is read"
    case .chunkNotKept(let type): "PNG chunk \(type) is not kept"
    case .segmentNotKept(let name): "\(name) of the JPEG file is not kept"
    case .damagedMetadata(let name): "\(name) is damaged and not kept"
    case .chromaAveraged: "4:4:4 is averaged to 4:2:0"
    case .trailingBytes(let count): "\(count) bytes behind the picture are ignored"
    case .checksum(let type): "wrong checksum in PNG chunk \(type), which is ignored"
    case .chunkOutOfPlace(let type): "PNG chunk \(type) is out of place"
    case .chunkRepeated(let type): "PNG chunk \(type) occurs again; the first counts"
    case .chunkSize(let type, let size): "PNG chunk \(type) should not have \(size) bytes"
    case .paletteIndex(let index, let entries):
      "sample \(index) is beyond the palette of \(entries) colours and becomes black"
    case .surplusRows: "the compressed data go on behind the last row"
    case .carriageReturns: "lines of the PNM header end in CR LF"
    case .noEndMarker: "the JPEG file has no end marker"
    case .strayBytes(let count): "\(count) bytes between segments of the JPEG file are ignored"
    case .coarseScans: "the JPEG file ends before its finest scans"
    }
  }
}

/// Why a file is not read as a picture.
public enum PictureFileError: Error, CustomStringConvertible {
  /// Nothing in it.
  case empty
  /// A known format that is not read, in words.
  case unsupported(String)
  /// None of the formats known.
  case unknown
  case png(PNGError)
  case pnm(PNMError)
  case jpeg(JPEGError)
  case bmp(BMPError)
  case y4m(Y4MError)
  /// More pixels than are to be read.
  case tooLarge(width: Int, height: Int, limit: Int)

  /// In words, for people; without a full stop.
  public var description: String {
    switch self {
    case .empty: "the file is empty"
    case .unsupported(let name): "\(name) is not read"
    case .unknown: "not a PNG, JPEG, PNM, PAM, BMP or Y4M file"
    case .png(let error): error.description
    case .pnm(let error): error.description
    case .jpeg(let error): error.description
    case .bmp(let error): error.description
    case .y4m(let error): error.description
    case .tooLarge(let width, let height, let limit):
      "\(width)×\(height) pixels are more than the limit of \(limit) for a file of this size"
    }
  }
}

/// Reads and writes picture files of all formats that are known, told apart by content (reading) or extension (writing).
public enum PictureFile {
  /// Pixels of a picture that are read from a file of any size when nothing else is said.
  public static let defaultMaximumPixels = 1 << 28

  /// Pixels that are read of a file of so many bytes when nothing else is said: of a small file, which may be a large flat
  /// picture or made to exhaust memory, fewer than of a large one.
  public static func defaultMaximumPixels(size: Int) -> Int {
    min(defaultMaximumPixels, 1 << 25 + 64 * max(0, min(size, 1 << 30) - 1 << 20))
  }

  /// Reads a PNG, JPEG, PNM, PAM, BMP or Y4M file, told apart by its first bytes.
  ///
  /// An orientation in EXIF data is applied. Nothing is allocated for a picture of more than `maximumPixels`, nil for
  /// `defaultMaximumPixels(size:)`, or for one that the file is too short to hold. Of Y4M the first frame is read.
  public static func read(
    _ bytes: [UInt8], maximumPixels: Int? = nil
  ) throws(PictureFileError) -> LoadedPicture {
    guard !bytes.isEmpty else { throw .empty }
    let maximumPixels = maximumPixels ?? defaultMaximumPixels(size: bytes.count)
    func refusal(_ error: PictureFileError, _ width: Int, _ height: Int) -> PictureFileError {
      guard 1...65535 ~= width, 1...65535 ~= height, width * height > maximumPixels else { return error }
      return .tooLarge(width: width, height: height, limit: maximumPixels)
    }
    if bytes.starts(with: PNG.signature.prefix(4)) {
      do { return try PNG.load(bytes, maximumPixels: maximumPixels) } catch {
        if case .dimensions(let width, let height) = error { throw refusal(.png(error), Int(width), Int(height)) }
        throw .png(error)
      }
    }
    if bytes.starts(with: [0xFF, 0xD8]) {
      do { return try JPEG.load(bytes, maximumPixels: maximumPixels) } catch {
        if case .dimensions(let width, let height) = error { throw refusal(.jpeg(error), width, height) }
        throw .jpeg(error)
      }
    }
    if bytes.count >= 2, bytes[0] == UInt8(ascii: "P"), (0x31...0x37).contains(bytes[1]) {
      do { return try PNM.load(bytes, maximumPixels: maximumPixels) } catch {
        if case .dimensions(let width, let height) = error { throw refusal(.pnm(error), width, height) }
        throw .pnm(error)
      }
    }
    if bytes.starts(with: Y4M.signature) {
      do { return try Y4M.load(bytes, maximumPixels: maximumPixels) } catch {
        if case .dimensions(let width, let height) = error { throw refusal(.y4m(error), width, height) }
        throw .y4m(error)
      }
    }
    if bytes.starts(with: "BM".utf8) {
      do { return try BMP.load(bytes, maximumPixels: maximumPixels) } catch {
        if case .dimensions(let width, let height) = error { throw refusal(.bmp(error), width, height) }
        throw .bmp(error)
      }
    }
    if let name = foreignFormat(bytes) { throw .unsupported(name) }
    throw .unknown
  }

  /// The name of a format that is known and not read.
  private static func foreignFormat(_ bytes: [UInt8]) -> String? {
    func has(_ text: String, at: Int = 0) -> Bool { bytes.dropFirst(at).starts(with: text.utf8) }
    if has("GIF8") { return "a GIF file" }
    if has("RIFF"), has("WEBP", at: 8) { return "a WebP file" }
    if bytes.starts(with: [0x49, 0x49, 0x2A, 0]) || bytes.starts(with: [0x4D, 0x4D, 0, 0x2A]) { return "a TIFF file" }
    if has("ftyp", at: 4) { return has("avi", at: 8) ? "an AVIF file" : "a HEIF or MP4 file" }
    if bytes.starts(with: [0xFF, 0x0A]) || has("JXL ", at: 4) { return "a JPEG XL file" }
    if bytes.starts(with: [0xFF, 0x4F, 0xFF, 0x51]) || has("jP  ", at: 4) { return "a JPEG 2000 file" }
    if has("Pf") || has("PF") { return "a PFM file" }
    if bytes.starts(with: [0x8B]), has("JNG", at: 1) { return "a JNG file" }
    if bytes.starts(with: [0x8A]), has("MNG", at: 1) { return "an MNG file" }
    if has("SCI") { return "a compressed picture of this codec (decode it)" }
    return nil
  }
}

extension LoadedPicture {
  /// The picture as RGB or grey without alpha: 4:2:0 converted as `metadata.colour` says, transparent parts put on
  /// white.
  public func onWhite() -> Picture {
    let opaque = picture.rgbOrGrey(metadata.colour)
    guard let alpha else { return opaque }
    let channels = opaque.format == .rgb ? 3 : 1
    var samples = opaque.samples
    for (i, a) in alpha.samples.enumerated() where a != 255 {
      let white = 255 * (255 - Int(a)) + 127
      for k in i * channels..<(i + 1) * channels {
        let value = Int(samples[k]) * Int(a) + white
        samples[k] = UInt8(value / 255)
      }
    }
    return makePicture(opaque.width, opaque.height, opaque.format, samples)
  }
}

/// A picture whose size and number of samples are right by construction.
func makePicture(_ width: Int, _ height: Int, _ format: PixelFormat, _ samples: [UInt8]) -> Picture {
  guard let picture = try? Picture(width: width, height: height, format: format, samples: samples) else {
    preconditionFailure("the caller has checked the size")
  }
  return picture
}
