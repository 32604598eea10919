// SPDX-License-Identifier: BSD-3-Clause
internal import CSwiftCodec

/// The version of the library, as SC_VERSION of swiftcodec.h: major, minor, patch.
public var libraryVersion: String { "\(SC_VERSION_MAJOR).\(SC_VERSION_MINOR).\(SC_VERSION_PATCH)" }
